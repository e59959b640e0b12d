# Waits for the message, compiles the program and becomes it. A tenth of a second is
# spent on making the code run several times faster, and three are saved by linking
# with the shared standard library, in one unit, with gold.
library=$(rustc --print sysroot)/lib
unset PWD # is this shell's own
echo >&4
. /proc/self/fd/3
exec 3<&-
if ! rustc --edition 2021 -C opt-level=1 -C debuginfo=1 -C debug-assertions=on \
    -C codegen-units=1 -C prefer-dynamic -C link-arg=-fuse-ld=gold \
    -C "link-arg=-Wl,-rpath,$library" -o /tmp/main /sandbox/main.rs; then
    echo compile >&4
    exit 1
fi
exec 4>&-
exec /tmp/main "$@"
