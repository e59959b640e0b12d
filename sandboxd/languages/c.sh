# Waits for the message, compiles the program ($1) with all sources beside it and becomes
# it. The compilers have no options but what says where things are, so that a program is
# told of, and does, what it does with `cc main.c`; C++ is that of 2020, as the image's
# precompiled headers are.
program=/sandbox/$1
unset PWD # is this shell's own
echo >&4
. /proc/self/fd/3
exec 3<&-

# Each source in its own language: g++ alone would take all of them for C++.
compile_c() {
    gcc -iquote /sandbox -iquote /sandbox/include "$@"
}
compile_cpp() {
    g++ -std=gnu++20 -iquote /sandbox -iquote /sandbox/include "$@"
}
link='-o /tmp/main /sandboxd/lines.o'

# Names, as a compiler reads them from a file. A source that another one includes is a part
# of that.
find_sources() {
    included=$(grep -rhoE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"[^"]*\.(c|cc|cpp|cxx)"' \
        /sandbox | sed -E 's|.*["/](.*)"|! -name \1|')
    find /sandbox -regextype egrep -regex ".*\.($1)" $included -printf '"%p"\n'
}

compile_all() {
    find_sources c >/tmp/c.sources
    find_sources 'cc|cpp|cxx' >/tmp/cpp.sources
    if [ ! -s /tmp/cpp.sources ]; then
        compile_c @/tmp/c.sources $link -lm
    elif [ -s /tmp/c.sources ]; then
        compile_c @/tmp/c.sources -r -nostdlib -o /tmp/c.o &&
            compile_cpp @/tmp/cpp.sources /tmp/c.o $link
    else
        compile_cpp @/tmp/cpp.sources $link
    fi
}

compile() {
    set -- /sandbox/*
    case $#$program in
        1*.c) compile_c "$program" $link -lm ;;
        1*) compile_cpp "$program" $link ;;
        *) compile_all && rm -f /tmp/*.sources /tmp/c.o ;;
    esac
}

if ! compile; then
    echo compile >&4
    exit 1
fi
exec 4>&-
exec /tmp/main "$@"
