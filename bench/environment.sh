# Python environments for bench/compare and bench/instructions, which read this file with $root and $program set.

# environment NAME REQUIREMENTS: a virtual environment in build/bench/NAME; its marker holds the pins that were installed last.
environment() {
    local venv=$root/build/bench/$1
    cmp -s "$2" "$venv/installed.txt" && return
    echo "$program: installing $(grep -v '^#' "$2" | tr '\n' ' ')into build/bench/$1" >&2
    [ -x "$venv/bin/python" ] || /usr/bin/python3 -m venv "$venv"
    "$venv/bin/pip" install -q --disable-pip-version-check -r "$2"
    cp "$2" "$venv/installed.txt"
}
