# SPDX-License-Identifier: MIT
# Completion of handoffctl(1) for bash. Commands and options are those that its
# own --help lists, so that the two cannot differ; peers are those of the service
# directory, which --dir or HANDOFF_DIR names. Starts no other program, and asks
# no peer, but for the numbers of batches in doubt.

# _handoffctl_usage HELP [COMMAND]: how a command is called, or every command,
# without the text beside it, which begins in column 20.
_handoffctl_usage() {
  local line text own=

  while IFS= read -r line; do
    [[ $line == Options:* ]] && return
    [[ $line =~ ^' '{20} ]] && continue
    [[ $line =~ ^'  '([a-z]+)(' '|$) ]] && own=${BASH_REMATCH[1]}
    [[ $own && (-z $2 || $own == "$2") ]] || continue
    text=${line#"${line%%[! ]*}"}
    printf '%s\n' "${text%%  *}"
  done <<<"$1"
}

# _handoffctl_once: each line that comes, once.
_handoffctl_once() {
  local line
  local -A seen=()

  while IFS= read -r line; do
    [[ ${seen[$line]-} ]] || printf '%s\n' "$line"
    seen[$line]=1
  done
}

# _handoffctl_commands HELP
_handoffctl_commands() {
  local line

  _handoffctl_usage "$1" | while IFS= read -r line; do
    [[ $line =~ ^[a-z]+ ]] && printf '%s\n' "${BASH_REMATCH[0]}"
  done | _handoffctl_once
}

# _handoffctl_options USAGE: one that may have a value also with its =.
_handoffctl_options() {
  local rest=$1

  while [[ $rest =~ (--[a-z][a-z-]*)('[=')? ]]; do
    printf '%s\n' "${BASH_REMATCH[1]}"
    [[ ${BASH_REMATCH[2]} ]] && printf '%s=\n' "${BASH_REMATCH[1]}"
    rest=${rest#*"${BASH_REMATCH[0]}"}
  done | _handoffctl_once
}

# _handoffctl_value USAGE OPTION: the word that stands for its value, or nothing.
_handoffctl_value() {
  [[ $1 =~ (^|[^a-z-])"$2"('[='|=|' ')([A-Z]+) ]] &&
    printf '%s\n' "${BASH_REMATCH[3]}"
}

# _handoffctl_word USAGE: the same of what is not an option.
_handoffctl_word() {
  local rest=$1 option='--[a-z-]+(\[=| )[A-Z]+'

  while [[ $rest =~ $option ]]; do
    rest=${rest/"${BASH_REMATCH[0]}"/}
  done
  [[ $rest =~ (^|[^A-Z])(NAME|FILE|BATCH|PROGRAM)([^A-Z]|$) ]] &&
    printf '%s\n' "${BASH_REMATCH[2]}"
}

# _handoffctl_peers DIR: those whose process is there.
_handoffctl_peers() {
  local file name pid

  for file in "$1"/peer.[12]; do
    [[ -r $file ]] || continue
    IFS=' ' read -r name pid <"$file" && [[ -d /proc/$pid ]] && printf '%s\n' "$name"
  done
}

# _handoffctl_values KIND CURRENT PROGRAM DIR
_handoffctl_values() {
  local line

  case $1 in
  NAME) compgen -W "$(_handoffctl_peers "$4")" -- "$2" ;;
  FILE) compgen -f -- "$2" ;;
  DIR) compgen -d -- "$2" ;;
  HOST) compgen -A hostname -- "$2" ;;
  COMMAND | PROGRAM)
    compgen -c -- "$2"
    compgen -f -- "$2"
    ;;
  BATCH)
    "$3" --dir "$4" status 2>/dev/null | while IFS= read -r line; do
      [[ $line =~ ': batch '([0-9a-f]+): ]] || continue
      [[ ${BASH_REMATCH[1]} == "$2"* ]] && printf '%s\n' "${BASH_REMATCH[1]}"
    done
    ;;
  esac
}

_handoffctl() {
  local program=$1 current=${COMP_WORDS[COMP_CWORD]} dir=${HANDOFF_DIR-}
  local help usage command='' option='' kind='' word given=0 i
  local IFS=$'\n'

  COMPREPLY=()
  help=$("$program" --help 2>/dev/null) || return
  usage="$(_handoffctl_usage "$help")
--dir DIR"
  # What has been typed: --option=value is three words (COMP_WORDBREAKS).
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    if [[ $kind ]]; then
      kind=FILE # an argument of the program
    elif [[ $option && $word != = ]]; then
      [[ $option == --dir ]] && dir=${word/#\~/$HOME}
      option=
    elif [[ $word == -- ]]; then
      kind=PROGRAM
    elif [[ $word == --* ]]; then
      option=$word
      [[ $(_handoffctl_value "$usage" "$word") && ${COMP_WORDS[i + 1]} == = ||
        $usage =~ "$word "[A-Z] ]] || option=
    elif [[ $word != = && -z $command ]]; then
      command=$word
      usage="$(_handoffctl_usage "$help" "$command")
--dir DIR"
    elif [[ $word != = ]]; then
      given=1 # no command completed here takes two words
    fi
  done
  [[ $current == = ]] && current=
  if [[ $option ]]; then
    kind=$(_handoffctl_value "$usage" "$option")
  elif [[ ! $kind && $current == -* ]]; then
    [[ $command ]] || usage='--dir DIR'
    mapfile -t COMPREPLY < <(compgen -W "$(_handoffctl_options "$usage")
--help
--version" -- "$current")
    return
  elif [[ ! $kind && ! $command ]]; then
    mapfile -t COMPREPLY < <(
      compgen -W "$(_handoffctl_commands "$help")" -- "$current")
    return
  elif [[ ! $kind && $given == 0 ]]; then
    kind=$(_handoffctl_word "$usage")
  fi
  mapfile -t COMPREPLY < <(
    _handoffctl_values "$kind" "$current" "$program" "$dir")
  [[ $kind == @(FILE|DIR|COMMAND|PROGRAM) ]] && compopt -o filenames 2>/dev/null
  return 0
}

complete -F _handoffctl handoffctl
