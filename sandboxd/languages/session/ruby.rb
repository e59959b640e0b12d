# Runs one piece of code after another at the top level, as irb does. What to run comes on
# stdin, which is moved to where no program finds it by chance. That a run begins, and can
# be interrupted from here on, and that it has ended are lines of JSON on the descriptor
# for notes.
require "json"

module Sandboxd
  VALUE_MOST = 100_000 # characters
  COMMANDS = STDIN.dup.binmode
  NOTES = IO.for_fd(4).then { |note| note.dup.tap { note.close } }
  NOTES.sync = true
  PROCESS = Process.pid
  PLACE = TOPLEVEL_BINDING.dup
  STDOUT.sync = true

  def self.serve
    Signal.trap("INT", "IGNORE")
    ended(0, 0, nil)
    while (header = COMMANDS.gets)
      command = JSON.parse(COMMANDS.read(header.to_i).force_encoding("UTF-8"))
      open_streams(command["streams"])
      status, value = guard(command)
      [$stdout, $stderr].each { |stream| stream.flush rescue nil }
      exit!(status) unless Process.pid == PROCESS # a fork of the program's came this far
      ended(command["run"], status, value)
    end
  end

  # Returns the status that a program of its own would exit with, and the value's text.
  def self.guard(command)
    begin
      Signal.trap("INT", @on_interrupt || "DEFAULT")
      note({ run: command["run"] })
      [0, run(command)]
    ensure
      @on_interrupt = Signal.trap("INT", "IGNORE")
    end
  rescue SystemExit => leaving
    leaving.status
  rescue Interrupt => error
    report(error)
    130
  rescue Exception => error
    report(error)
    1
  end

  def self.run(command)
    ENV.update(command["env"])
    ARGV.replace(command["args"])
    value = PLACE.eval(command["code"], "<cell #{command["run"]}>")
    return if value.nil?
    text = value.inspect.encode("UTF-8", invalid: :replace, undef: :replace).scrub
    text.length > VALUE_MOST ? text[0, VALUE_MOST - 1] + "…" : text
  end

  def self.open_streams(name)
    [[STDIN, "r"], [STDOUT, "w"], [STDERR, "w"]].each_with_index do |(stream, mode), number|
      stream.reopen("#{name}.#{number}", mode)
    end
    STDOUT.sync = STDERR.sync = true
  rescue SystemCallError
    # Those of the last run go on.
  ensure
    $stdin = STDIN
  end

  def self.report(error)
    seen = error
    while seen
      frames = seen.backtrace&.grep_v(/\A(#{__FILE__}|\/sandboxd\/)/)
      seen.set_backtrace(frames || [])
      seen = seen.cause
    end
    if error.backtrace.empty? # of the text itself, which names its place
      $stderr.puts("#{error.message} (#{error.class})")
    else
      $stderr.write(error.full_message(highlight: false, order: :top))
    end
  rescue StandardError => another
    STDERR.puts("the exception could not be shown: #{another.class}")
  end

  def self.ended(run, status, value)
    peak = File.read("/proc/self/status")[/VmHWM:\s*(\d+)/, 1].to_i * 1024
    cpu = Process.times.sum
    note({ run: run, exit_code: status, cpu: cpu, memory: peak, value: value })
  end

  def self.note(told)
    NOTES.write(JSON.generate(told) + "\n")
  end
end

Sandboxd.serve
