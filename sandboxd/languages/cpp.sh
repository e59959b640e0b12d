# Waits for the message, compiles the program and becomes it. The options are those
# that the image's precompiled headers were made with; gold links in a third of the
# usual time.
echo >&4
. /proc/self/fd/3
exec 3<&-
if ! g++ @/sandboxd/options -Wall -fuse-ld=gold -o /tmp/main /sandbox/main.cpp; then
    echo compile >&4
    exit 1
fi
exec 4>&-
exec /tmp/main "$@"
