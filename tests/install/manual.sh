#!/usr/bin/env bash
# The manual page and the completions, installed: each knows every option of every subcommand, and each works where it is read.
source "$(dirname "$0")/common.sh"

install_and_move tools
page=$PREFIX/share/man/man1/sepconv.1
bash_file=$PREFIX/share/bash-completion/completions/sepconv
zsh_file=$PREFIX/share/zsh/site-functions/_sepconv
fish_file=$PREFIX/share/fish/vendor_completions.d/sepconv.fish

# expect WORD... from standard input: these lines and no other, in any order
expect() {
    diff <(printf '%s\n' "$@" | LC_ALL=C sort) <(LC_ALL=C sort) || fail "$what: expected $*"
}

# Nothing is older than the command.
"$PREFIX/bin/sepconv" --help | sed -n '/^Subcommands:/,/^$/s/^  \([a-z]*\) .*/\1/p' >subcommands.txt
[ -s subcommands.txt ] || fail "sepconv --help names no subcommand"
while read -r subcommand; do
    "$PREFIX/bin/sepconv" "$subcommand" --help | grep -oE '^  (-[a-z],)?--?[a-z-]+' | tr -d ' ' | tr , '\n' >options.txt
    for file in "$page" "$bash_file" "$zsh_file" "$fish_file"; do
        grep -q -- "$subcommand" "$file" || fail "$file does not know $subcommand"
        while read -r option; do
            word=${option//-/\\\\-}  # as the page writes it
            if [ "$file" != "$page" ]; then word=$option; fi
            if [ "$file" = "$fish_file" ]; then word=${option##*-}; fi
            grep -q -- "$word" "$file" || fail "$file does not know $subcommand $option"
        done <options.txt
    done
done <subcommands.txt

# The page. A date would make every build another page.
mandoc -Tlint -Wwarning "$page" | grep -v 'missing date' >lint.txt && { cat lint.txt; fail "the manual page has mistakes"; }
mandoc -Tascii "$page" | sed 's/.\x08//g' >page.txt
grep -q "sepconv run" page.txt || fail "the manual page shows no sepconv run"

touch model.h5 "with space.npy"
mkdir folder

# bash: as it calls the function while a line is typed.
# shellcheck disable=SC1090
source "$bash_file"
compopt() { :; }  # which works in a shell that completes, only
typed() {
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
    _sepconv
    [ ${#COMPREPLY[@]} = 0 ] || printf '%s\n' "${COMPREPLY[@]}"
}
[[ $(complete -p sepconv) == *_sepconv* ]] || fail "bash: nothing completes sepconv"
what=bash
typed sepconv in | expect info
typed sepconv generate -e | expect -e
typed sepconv explain --con | expect --config
typed sepconv explain --model mod | expect model.h5
typed sepconv explain --model = mod | expect model.h5
typed sepconv run --input with | expect "with space.npy"
typed sepconv generate -o fol | expect folder
typed sepconv run --target av | expect avx2 avx512
[ "$(typed sepconv run --layer '')" = "" ] || fail "bash: something completes a layer's name"

# fish: by its own way to ask. It completes commands that there are.
what=fish
fished() { PATH="$PREFIX/bin:$PATH" XDG_DATA_DIRS="$PREFIX/share" XDG_CONFIG_HOME="$WORK" HOME="$WORK" fish -c "complete -C '$1'" | cut -f 1; }
fished "sepconv in" | expect info
fished "sepconv explain --con" | expect --config
fished "sepconv run --target av" | expect avx2 avx512
fished "sepconv explain --model mod" | expect model.h5

# zsh: what it is told, without a terminal to type at.
what=zsh
zshed() {
    zsh -fc "function _arguments { print -rl -- \"\$@\" }; function _describe { print -rl -- \${(P)2} }; function compadd { : }
        words=($*); CURRENT=\${#words}; source '$zsh_file'"
}
# shellcheck disable=SC2046
zshed sepconv "''" | cut -d : -f 1 | expect $(cat subcommands.txt)
zshed sepconv run --target "''" | grep -- '--target=.*(host.*avx2.*)' >targets.txt || fail "zsh: the targets are not offered"
zshed sepconv run --input "''" | grep -- '--input=.*:FILE:_files' >files.txt || fail "zsh: no files are offered"
