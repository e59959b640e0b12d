#!/bin/sh
# Starts a daemon of its own, runs a program in each language, and stops it.
set -eu
folder=$(mktemp -d)
export SANDBOXD_SOCKET="$folder/sandboxd.sock"
daemon=
finish() {
    [ -z "$daemon" ] || { kill "$daemon" && wait "$daemon" || true; }
    rm -rf "$folder"
}
trap finish EXIT
trap 'exit 130' INT TERM

say() {
    printf '\n'
    if [ -t 1 ]; then printf '\033[1m$ %s\033[0m\n' "$*"; else printf '$ %s\n' "$*"; fi
}

say sandboxd serve
sandboxd serve >"$folder/log" 2>&1 &
daemon=$!
until sandbox status >/dev/null 2>&1; do
    kill -0 "$daemon" 2>/dev/null || { cat "$folder/log" >&2; exit 1; }
    sleep 0.1
done
sandbox languages

show() {
    say sandbox run "$1" -c "'$2'"
    sandbox run "$1" -c "$2"
}

show python 'import time
for word in ("printed", "as", "it", "comes"):
    print(word)
    time.sleep(0.3)'
show javascript 'let n = 3; const t = setInterval(() => { console.log(`tick ${n}`); if (!--n) clearInterval(t) }, 200)'
show bash 'for i in {1..3}; do echo "line $i"; sleep 0.2; done'
show sh 'for word in one two three; do echo "$word"; sleep 0.2; done'
show ruby '3.times { |i| puts "step #{i}"; sleep 0.2 }'
show go 'package main

import ("fmt"; "time")

func main() {
	for i := 1; i <= 3; i++ {
		fmt.Println("round", i)
		time.Sleep(200 * time.Millisecond)
	}
}'
say sandbox status
sandbox status
