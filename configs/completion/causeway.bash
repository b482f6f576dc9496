# SPDX-License-Identifier: Apache-2.0
# Completion of causeway for bash, printed by `causeway completion bash`.
_causeway()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local verb= sub= words= i

	case $prev in
	--socket | --dp-socket | --state)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	esac
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--socket | --dp-socket | --state | --limit) ((i++)) ;;
		-*) ;;
		*)
			if [[ -z $verb ]]; then
				verb=${COMP_WORDS[i]}
			elif [[ -z $sub ]]; then
				sub=${COMP_WORDS[i]}
			fi
			;;
		esac
	done
	case $verb,$sub in
	,*) words="status dp coord reload down up set logout debug completion version help" ;;
	dp,) words="show" ;;
	dp,show) words="ports workers peers sessions routes rules flows counters latency --limit" ;;
	coord,) words="users keys nodes routes logins audit derp dns backup" ;;
	debug,) words="import" ;;
	debug,import) words="--state --force --allow-all" ;;
	completion,) words="bash" ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words --socket --dp-socket --json --help" -- "$cur")
	if [[ $verb,$sub == debug,import && $cur != -* ]]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	fi
}
complete -o filenames -F _causeway causeway
