[ -n "${SANDBOXD_SESSION-}" ] || { eval "$__code"; return; } # first: lines count from here
# Bash is the driver itself: an interactive one, which an interrupt or an error brings
# back to its next line. It is sent a few for each run: variables and __begin, `.` of this
# file, and __end.
case ${SANDBOXD_SESSION-} in
1)
    SANDBOXD_SESSION=2 exec bash --noprofile --noediting --rcfile /sandbox/main.sh -i 6>&2 2>&-
    ;;
2)
    unset SANDBOXD_SESSION
    set +o history +H
    unset PROMPT_COMMAND
    PS1= PS2=
    exec 2>&6 6>&-
    trap '' INT

    __begin() { printf '{"run":%d}\n' "$1" >&4; }

    __end() {
        local status=$? run=$1 IFS=$' \t\n' peak=0 name value rest ticks
        trap '' INT
        [ "$BASHPID" = $$ ] || exit # interrupted as it was to become another program
        [ "$run" != "${__ended-}" ] || return 0
        exec 7<&-
        read -r rest </proc/self/stat
        set -- ${rest##*) }
        ticks=$((${12} + ${13} + ${14} + ${15})) # its own, and its children's
        while read -r name value rest; do
            [ "$name" != VmHWM: ] || peak=$((value * 1024))
        done </proc/self/status
        printf '{"run":%d,"exit_code":%d,"cpu":%d.%02d,"memory":%d}\n' \
            "$run" "$status" $((ticks / 100)) $((ticks % 100)) "$peak" >&4
        __ended=$run
    }
    __end 0
    ;;
esac
