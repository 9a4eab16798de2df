# supervise DIR SIGNAL PROGRAM [ARGUMENT...]
#
# Runs PROGRAM until it ends or standard input says to stop it with SIGNAL:
# a word means stop and keep DIR, the end of input (the starter is gone) means
# stop and remove DIR.
dir=$1 signal=$2
shift 2
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
(
	read -r word <&3
	kill -s "$signal" "$server"
	while kill -0 "$server"; do sleep 0.05; done
	[ -n "$word" ] || rm -rf "$dir"
) 2>/dev/null &
wait "$server"
