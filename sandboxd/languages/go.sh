# Waits for the message, compiles the program and becomes it. A single file is compiled
# and linked, by the tools that `go build` would call, against the standard library that
# lies compiled in the image. Several files are left to `go build`, which has it for a
# cache.
tools=$(go env GOTOOLDIR)
unset PWD # is this shell's own
echo >&4
. /proc/self/fd/3
exec 3<&-

is_one_file() {
    set -- /sandbox/*
    [ $# = 1 ] || ! {
        grep -q '^//go:embed' /sandbox/main.go ||
            find /sandbox \( -name '*.go' -o -name go.mod \) ! -path /sandbox/main.go | grep -q .
    }
}

compile_file() {
    "$tools/compile" -p main -complete -pack \
        -importcfg /sandboxd/importcfg -o /tmp/main.a /sandbox/main.go &&
        GOROOT=${tools%/pkg/tool/*} "$tools/link" -importcfg /sandboxd/importcfg -s -w -o /tmp/main /tmp/main.a &&
        rm /tmp/main.a
}

# A cache must have a file that can be written, and no more than that. Files of package
# main need no go.mod to be run; `go build` is shown one.
build_module() (
    mkdir -p /tmp/build/cache && cd /tmp/build || exit
    ln -s /sandboxd/gocache/* cache
    date +%s >cache/trim.txt
    echo 'module main' >go.mod
    [ -e /sandbox/go.mod ] || overlay='{"Replace": {"/sandbox/go.mod": "/tmp/build/go.mod"}}'
    echo "${overlay:-{\}}" >overlay.json
    cd /sandbox
    GOCACHE=/tmp/build/cache GOPATH=/tmp/build/path GOPROXY=off GOTOOLCHAIN=local CGO_ENABLED=0 \
        go build -overlay /tmp/build/overlay.json -buildvcs=false -ldflags '-s -w' -o /tmp/main .
    status=$?
    rm -r /tmp/build
    exit $status
)

if is_one_file; then compile=compile_file; else compile=build_module; fi
if ! $compile >&2; then
    echo compile >&4
    exit 1
fi
exec 4>&-
exec /tmp/main "$@"
