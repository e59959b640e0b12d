# Required before the program: holds Ruby, already started, until that is there. Ruby has
# opened the program's file by now and parses it after this: what runs is the main program
# in every respect, and nothing of this file is in its traces.
proc do # whose variables no program sees
  note = IO.for_fd(4, "w")
  unless ENV.delete("SANDBOXD_AGAIN")
    program = ObjectSpace.each_object(File).find { |file| !file.closed? && file.path == $0 }
    note.write("\n").then { note.flush }
    count, *fields = IO.for_fd(3, "r:UTF-8").then { |pipe| pipe.read.split("\0", -1).tap { pipe.close } }
    fields.pop
    ARGV.concat(fields.shift(count.to_i))
    fields.each { |pair| pair.split("=", 2).then { |name, value| ENV[name] = value } }
    # Ruby itself is to find the environment when it starts.
    exec("ruby", "-r#{__FILE__}", "-rleave", $0, *ARGV, 4 => 4) if ENV["SANDBOXD_AGAIN"]
    program.rewind # its first byte was read when there was no program yet
  end
  ENV.delete("SANDBOXD_SESSION") ? note.autoclose = false : note.close # as a session goes on with it
  $stdout.sync = true # a line is seen when it is printed, as at a terminal
  # Ruby enters this file there when it is left, and then asks for `leave`, by this.
  define_singleton_method(:require) do |_|
    singleton_class.remove_method(:require)
    $LOADED_FEATURES.delete(__FILE__)
  end
end.call
