# Waits for the message, compiles the program against the standard library that
# lies compiled in the image, and becomes it.
tools=$(go env GOTOOLDIR)
echo >&4
. /proc/self/fd/3
exec 3<&-
if ! "$tools/compile" -p main -complete -pack \
    -importcfg /sandboxd/importcfg -o /tmp/main.a /sandbox/main.go >&2 ||
    ! "$tools/link" -importcfg /sandboxd/importcfg -s -w -o /tmp/main /tmp/main.a >&2; then
    echo compile >&4
    exit 1
fi
rm /tmp/main.a
exec 4>&-
exec /tmp/main "$@"
