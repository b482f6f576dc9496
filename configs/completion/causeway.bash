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
	,*) words="status dp coord reload down up set logout ip ping whois netcheck debug completion version help" ;;
	status,*) words="--active --peers=false --self=false --header" ;;
	dp,) words="show" ;;
	dp,show) words="ports workers peers sessions routes rules flows counters latency --limit" ;;
	coord,) words="policy users keys nodes routes logins audit derp dns backup" ;;
	coord,policy) words="check set get --dry-run" ;;
	up,*) words="--login-server --auth-key --advertise-tags --force-reauth --reset --timeout --hostname --accept-routes --accept-dns=false --advertise-routes --advertise-exit-node --exit-node --exit-node-allow-lan-access --snat-subnet-routes=false --shields-up --stateful-filtering --netfilter-mode --operator" ;;
	set,*) words="--hostname --accept-routes --accept-dns=false --advertise-routes --advertise-exit-node --exit-node --exit-node-allow-lan-access --snat-subnet-routes=false --shields-up --stateful-filtering --netfilter-mode --operator" ;;
	ping,*) words="--icmp --timeout --until-direct=false --size" ;;
	debug,) words="import path prefs derp-map netmap watch-ipn" ;;
	debug,import) words="--state --force --allow-all" ;;
	completion,) words="bash" ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words --socket --dp-socket --json --help" -- "$cur")
	if [[ $verb,$sub == @(debug,import|coord,policy) && $cur != -* ]]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	fi
}
complete -o filenames -F _causeway causeway
