# Holds Ruby, already started, until the program is there; then runs it as Ruby
# would run a file, with nothing of this one in its traces.
proc do # whose variables no program sees
  note = IO.for_fd(4, "w")
  unless ENV.delete("SANDBOXD_AGAIN")
    note.write("\n").then { note.flush }
    count, *fields = IO.for_fd(3, "r:UTF-8").then { |pipe| pipe.read.split("\0", -1).tap { pipe.close } }
    fields.pop
    ARGV.concat(fields.shift(count.to_i))
    fields.each { |pair| pair.split("=", 2).then { |name, value| ENV[name] = value } }
    # Ruby itself is to find the environment when it starts.
    exec("ruby", __FILE__, *ARGV, 4 => 4) if ENV["SANDBOXD_AGAIN"]
  end
  ENV.delete("SANDBOXD_SESSION") ? note.autoclose = false : note.close # as a session goes on with it
  $stdout.sync = true # a line is seen when it is printed, as at a terminal
  $0 = "/sandbox/main.rb"
  File.open($0).then do |file|
    file.each_line { |line| break if line.chomp == "__END__" }
    file.eof? ? file.close : DATA = file
  end

  begin
    load $0
  rescue Exception => error
    seen = error
    while seen
      frames = seen.backtrace&.reject { |frame| frame.start_with?(__FILE__) }
      seen.set_backtrace(frames&.map { |frame| frame.sub("<top (required)>", "<main>") } || [])
      seen = seen.cause
    end
    raise
  end
end.call
