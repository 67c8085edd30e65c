# Shared by contrib/up, contrib/check, contrib/check-sanitizers, contrib/fuzz and .ci/run: sourced, not run.
# shellcheck shell=bash

top_srcdir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
jobs=$(nproc)

say() {
    printf '\n== %s\n' "$*"
}

die() {
    printf '%s\n' "$*" >&2
    exit 1
}

# Prints the packages of the named groups that are not on the machine.
missing_packages() {
    local group package command
    while read -r group package command; do
        [[ " $* " == *" $group "* ]] || continue
        if [[ -n $command ]] && command -v "$command" >/dev/null; then
            continue
        fi
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
            printf '%s\n' "$package"
    done <"$top_srcdir/contrib/packages.txt"
}

# Installs what is missing of the named groups of contrib/packages.txt.
install_packages() {
    local missing
    mapfile -t missing < <(missing_packages "$@")
    if ((${#missing[@]} == 0)); then
        say "packages ($*): all there"
        return
    fi
    say "packages ($*): installing ${missing[*]}"
    [[ $(id -u) == 0 ]] || die "installing packages needs root"
    apt-get update
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
}

# Whether configure is older than what it is made from.
configure_is_stale() {
    [[ ! -f $top_srcdir/configure || ! -f $top_srcdir/Makefile.in ]] ||
        [[ -n $(find "$top_srcdir/configure.ac" -newer "$top_srcdir/configure") ]]
}

# Configures DIRECTORY once with the options behind it and those of $LEVERET_CONFIGURE; later calls
# with the same options are left to make, which runs configure again when configure.ac has changed.
configure_in() {
    local directory=$1 extra
    shift
    read -ra extra <<<"${LEVERET_CONFIGURE:-}"
    set -- "${extra[@]}" "$@"
    if configure_is_stale; then
        say "autoreconf"
        (cd "$top_srcdir" && autoreconf --install)
    fi
    if [[ ! -f $directory/Makefile || $(cat "$directory/configured-with" 2>/dev/null) != "$*" ]]; then
        say "configure${*:+ $*} (in $directory)"
        mkdir -p "$directory"
        (cd "$directory" && "$top_srcdir/configure" --quiet "$@")
        printf '%s\n' "$*" >"$directory/configured-with"
    fi
}

# Counts of the steps so far live in a file, so that a script called by another adds to them.
results_file=${LEVERET_RESULTS:-}

results_start() {
    if [[ -z $results_file ]]; then
        results_file=$(mktemp)
        export LEVERET_RESULTS=$results_file
        trap 'rm -f "$results_file"' EXIT
    fi
}

# Adds PASSED and FAILED to the counts.
results_add() {
    printf '%d %d %s\n' "$1" "$2" "$3" >>"$results_file"
}

# Prints each step's counts and the closing line; fails when anything failed or nothing ran.
results_finish() {
    say "results"
    awk '{
             passed += $1
             failed += $2
             printf "%6d passed %4d failed  %s\n", $1, $2, substr($0, length($1 $2) + 3)
         }
         END {
             printf "\n%d passed, %d failed\n", passed, failed
             exit failed != 0 || passed == 0
         }' "$results_file"
}

# Runs a command as one step that passes or fails as a whole.
step() {
    local name=$1
    shift
    say "$name"
    if "$@"; then
        results_add 1 0 "$name"
    else
        results_add 0 1 "$name"
    fi
}

# Adds up what the test programs below DIRECTORY said (make check's .trs and .log files): Check
# counts its tests, any other program is one test.
tally_make_check() {
    local directory=$1 name=$2 trs passed=0 failed=0
    while IFS= read -r trs; do
        local checks failures errors
        read -r checks failures errors < <(awk -F '[:,] *' '
            /^[0-9]*%: Checks: / { checks += $3; failures += $5; errors += $7 }
            END { print checks + 0, failures + 0, errors + 0 }' "${trs%.trs}.log")
        if grep -q '^:test-result: PASS' "$trs"; then
            passed=$((passed + (checks > 0 ? checks : 1)))
        elif grep -q '^:test-result: SKIP' "$trs"; then
            continue
        else
            passed=$((passed + checks - failures - errors))
            failed=$((failed + (failures + errors > 0 ? failures + errors : 1)))
            printf -- '--- %s\n' "${trs%.trs}.log"
            tail -n 100 "${trs%.trs}.log"
        fi
    done < <(find "$directory" -path "$directory/build-*" -prune -o -name '*.trs' -print)
    if ((passed + failed == 0)); then
        failed=1
        printf '%s\n' "--- $name: nothing ran"
    fi
    results_add "$passed" "$failed" "$name"
}

# Runs make check in DIRECTORY and adds up its tests: more at a time than there are processors, as
# many of them wait for what comes with time.
run_make_check() {
    local directory=$1 name=$2 status=0
    shift 2
    say "$name"
    find "$directory" -path "$directory/build-*" -prune -o -name '*.trs' -exec rm -f {} +
    make -C "$directory" -j"$jobs" --no-print-directory check "$@" TESTS= || status=$?
    make -C "$directory" -j$((2 * jobs)) --no-print-directory check "$@" || status=$?
    tally_make_check "$directory" "$name"
    if ((status != 0)) && [[ $(tail -n 1 "$results_file" | cut -d ' ' -f 2) == 0 ]]; then
        results_add 0 1 "$name: make check"
    fi
}
