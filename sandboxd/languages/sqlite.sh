# Waits for the message and becomes sqlite3, which starts in a millisecond. The
# database is a file of the work folder: one that was laid there is used, and one
# that was made can be taken back. Arguments are the parameters ?1, ?2 and so on.
unset PWD # is this shell's own
echo >&4
exec 4>&-
. /proc/self/fd/3
exec 3<&-
rows=
for argument; do
    quoted=$(printf %s. "$argument" | sed "s/'/''/g")
    rows="$rows${rows:+,}('?$((count += 1))','${quoted%.}')"
done
if [ $# -gt 0 ]; then
    set -- -cmd '.parameter init' -cmd "INSERT INTO temp.sqlite_parameters VALUES $rows"
fi
exec sqlite3 -batch -list "$@" database.db '.read /sandbox/main.sql'
