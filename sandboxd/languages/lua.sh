# Waits for the message, which sets the arguments and environment, and becomes Lua.
# Held itself, Lua could not be given the environment: it has no setenv. It starts
# in a millisecond. A line is written when it is printed, as at a terminal, and what was
# printed before it waits for stdin; `arg` is as without the option that says so.
unset PWD # is this shell's own
echo >&4
exec 4>&-
. /proc/self/fd/3
exec 3<&-
exec lua -e 'io.stdout:setvbuf("line") io.stdin:setvbuf("line")
    arg = { [-1] = "lua", [0] = arg[0], table.unpack(arg) }' /sandbox/main.lua "$@"
