# Sourced by bash (BASH_ENV) before it reads the program: holds it, already
# started, until the message comes, which sets the arguments and environment.
unset BASH_ENV
echo >&4
. /proc/self/fd/3
exec 3<&-
[ -n "$SANDBOXD_SESSION" ] || exec 4>&- # a driver of sessions goes on with its notes
if [ -n "$SANDBOXD_AGAIN" ]; then # Bash itself is to find the environment when it starts
    unset SANDBOXD_AGAIN
    exec bash /sandbox/main.sh "$@"
fi
