# Waits for the message, compiles the program and becomes it. Debugging information
# is for tools that the program brings; gold links in a third of the usual time.
echo >&4
. /proc/self/fd/3
exec 3<&-
if ! gcc -std=gnu17 -O1 -g -Wall -fuse-ld=gold -o /tmp/main /sandbox/main.c -lm; then
    echo compile >&4
    exit 1
fi
exec 4>&-
exec /tmp/main "$@"
