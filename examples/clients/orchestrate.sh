#!/bin/sh
# A small orchestrated job in plain shell: three parcels are weighed, and the scales fail once.
# It needs curl, and a server: orion server start
#
#   sh examples/clients/orchestrate.sh [http://127.0.0.1:4200/api]
set -eu
API=${1:-${ORION_API_URL:-http://127.0.0.1:4200/api}}

post() { # path body -> the answer; a refused request ends the job, and curl says why
    curl --silent --show-error --fail-with-body --header 'Content-Type: application/json' --data "$2" "$API$1"
}

# The fields read here stand once in their answers, so that no JSON parser is needed.
text() { sed -n "s/.*\"$1\":\"\\([^\"]*\\)\".*/\\1/p"; }
number() { sed -n "s/.*\"$1\":\\([0-9.]*\\).*/\\1/p"; }
id() { sed -n 's/^{"id":"\([^"]*\)".*/\1/p'; }

# propose runs-path id state: 0 when the run is in it, 3 when it got another one instead, 4 when it is to be left alone.
propose() {
    while :; do
        answer=$(post "/$1/$2/set_state" "{\"state\": $3}")
        case $(printf %s "$answer" | text status) in
        ACCEPT) return 0 ;;
        WAIT)
            seconds=$(printf %s "$answer" | number delay_seconds)
            echo "  WAIT: asking again in $seconds s"
            sleep "$seconds"
            ;;
        REJECT)
            echo "  REJECT: $(printf %s "$answer" | text reason)"
            return 3
            ;;
        ABORT)
            echo "  ABORT: $(printf %s "$answer" | text reason)"
            return 4
            ;;
        *)
            echo "Not an answer: $answer" >&2
            exit 1
            ;;
        esac
    done
}

weigh() { # what somebody else does: the second parcel fails the first time
    [ "$1" != 2 ] || [ "$2" != 1 ]
}

work() { # flow-run parcel: one task run, until it ends
    task=$(post /task_runs/ "{\"flow_run_id\": \"$1\", \"task_key\": \"weigh\", \"dynamic_key\": \"$2\",
        \"name\": \"weigh-$2\", \"empirical_policy\": {\"retries\": 1, \"retry_delay\": 1}}" | id)
    try=1
    while propose task_runs "$task" '{"type": "RUNNING"}'; do
        if weigh "$2" "$try"; then
            echo "  parcel $2 is weighed"
            propose task_runs "$task" '{"type": "COMPLETED"}'
            return
        fi
        # With retries left, FAILED is rejected: the run awaits its retry, and RUNNING has to WAIT until then.
        propose task_runs "$task" '{"type": "FAILED", "message": "The scales stuck."}' && return 1
        try=$((try + 1))
    done
    return 1
}

flow=$(post /flows/ '{"name": "parcels-by-shell"}' | id)
run=$(post /flow_runs/ "{\"flow_id\": \"$flow\", \"parameters\": {\"parcels\": 3}, \"state\": {\"type\": \"PENDING\"}}" | id)
echo "Flow run $run"
propose flow_runs "$run" '{"type": "RUNNING"}'

echo "Somebody else wants to begin the same run:"
propose flow_runs "$run" '{"type": "PENDING"}' || [ $? = 4 ]

ended=COMPLETED
for parcel in 1 2 3; do
    work "$run" "$parcel" || ended=FAILED
done
propose flow_runs "$run" "{\"type\": \"$ended\"}"

echo "Ended $ended"
[ "$ended" = COMPLETED ]
