# Runs one piece of code after another at the top level, as irb does. What to run comes on
# stdin, which is moved to where no program finds it by chance. That a run begins, and can
# be interrupted from here on, and that it has ended are lines of JSON on the descriptor
# for notes.
require "json"

module Sandboxd
  DRIVER = self # no program finds it by its name
  VALUE_MOST = 100_000 # characters
  COMMANDS = STDIN.dup.binmode
  NOTES = IO.for_fd(4).then { |note| note.dup.tap { note.close } }
  NOTES.sync = true
  PROCESS = Process.pid
  PLACE = TOPLEVEL_BINDING.dup
  STDOUT.sync = true
  @ended = [] # groups of the threads that earlier runs have left

  # Between two runs nothing that a thread ends or raises reaches this one.
  def self.serve
    Signal.trap("INT", "IGNORE")
    ended(0, 0, nil)
    Thread.handle_interrupt(Object => :never) do
      while (header = COMMANDS.gets)
        command = JSON.parse(COMMANDS.read(header.to_i).force_encoding("UTF-8"))
        begin_threads # before there are streams that threads of earlier runs could print to
        open_streams(command["streams"])
        status, value = guard(command)
        [$stdout, $stderr].each { |stream| stream.flush rescue nil }
        exit!(status) unless Process.pid == PROCESS # a fork of the program's came this far
        ended(command["run"], status, value)
      end
    end
  end

  # A thread that a run began, and all that begin in it, are of one group.
  def self.begin_threads
    forget_interrupts
    @ended << Thread.main.group
    @ended.select! { |group| group.list.any? { |thread| thread != Thread.main } }
    ThreadGroup.new.add(Thread.main)
    [STDOUT, STDERR].each { |stream| stream.extend(Timely) } if @ended.any?
  end

  def self.forget_interrupts
    Thread.handle_interrupt(Object => :immediate) { Thread.pass }
  rescue Exception
    retry
  end

  def self.late?
    @ended.include?(Thread.current.group)
  end

  # What threads of earlier runs print is nobody's.
  module Timely
    def write(*texts)
      DRIVER.late? ? texts.sum { |text| text.to_s.bytesize } : super
    end
  end

  # Of the stack a program sees its own part.
  module OwnBacktrace
    def backtrace(...) = DRIVER.own(super)
    def backtrace_locations(...) = DRIVER.own(super)
  end

  module OwnCaller
    def caller(start = 1, length = nil) = DRIVER.part(super(1), start, length)
    def caller_locations(start = 1, length = nil) = DRIVER.part(super(1), start, length)
  end

  [Exception, Thread].each { |kind| kind.prepend(OwnBacktrace) }
  [Kernel, Kernel.singleton_class].each { |kind| kind.prepend(OwnCaller) }

  def self.own(frames)
    frames&.reject { |frame| frame.to_s.start_with?(__FILE__, "/sandboxd/") }
  end

  def self.part(frames, start, length)
    frames = own(frames)
    start.is_a?(Range) ? frames[start] : frames[start, length || frames.size]
  end

  # Returns the status that a program of its own would exit with, and the value's text.
  def self.guard(command)
    begin
      Signal.trap("INT", @on_interrupt || "DEFAULT")
      note({ run: command["run"] })
      Thread.handle_interrupt(Object => :immediate) { [0, run(command)] }
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
    $0 = "<cell #{command["run"]}>"
    value = PLACE.eval(command["code"], $0)
    return if value.nil?
    text = value.inspect.encode("UTF-8", invalid: :replace, undef: :replace).scrub
    text.length > VALUE_MOST ? text[0, VALUE_MOST - 1] + "…" : text
  end

  def self.open_streams(name)
    [[STDIN, "r"], [STDOUT, "w"], [STDERR, "w"]].each_with_index do |(stream, mode), number|
      stream.send(:initialize, number, mode) if stream.closed? # which leaves the number open
      stream.reopen("#{name}.#{number}", mode)
    end
    STDOUT.sync = STDERR.sync = true
  rescue SystemCallError
    # Those of the last run go on.
  ensure
    $stdin = STDIN
  end

  def self.report(error)
    if error.backtrace.nil? || error.backtrace.empty? # of the text itself, which names its place
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

Object.send(:remove_const, :Sandboxd).serve
