# Waits for the message, which sets the arguments and environment, and becomes Lua.
# Held itself, Lua could not be given the environment: it has no setenv. It starts
# in a millisecond.
echo >&4
exec 4>&-
. /proc/self/fd/3
exec 3<&-
exec lua /sandbox/main.lua "$@"
