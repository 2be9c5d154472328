#!/bin/sh
# Opens a page in headless Chromium, acts as a person would and looks at what is there.
# Usage: report_browser_test.sh run | rows5 | rows25 | rows100 | bench | live   PROGRAM RECORDED_RUNS
# Exits 77 (skipped, aloud) where there is no Chromium.
set -eu
kind=$1 program=$2 recorded_runs=$3
here=$(dirname "$0")
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
if [ -z "$browser" ]; then
    echo "SKIPPED: no chromium on this machine"
    exit 77
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

browse() { # WIDTHxHEIGHT ADDRESS MORE...: the document as it is after loading
    size=$1 address=$2
    shift 2
    timeout 120 "$browser" --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --hide-scrollbars \
        --disable-background-networking --disable-component-update --disable-sync --user-data-dir="$folder/profile" \
        --window-size="$size" --enable-logging=stderr --v=0 "$@" --dump-dom "$address" \
        >"$folder/dom" 2>"$folder/log" || { tail -5 "$folder/log"; echo "FAILED: the browser did not run"; exit 1; }
    if grep -F 'CONSOLE' "$folder/log"; then
        echo "FAILED: the console is not empty"
        exit 1
    fi
}
title() { sed -n 's|.*<title>\(.*\)</title>.*|\1|p' "$folder/dom" | head -1; }
fail() { echo "FAILED: $1"; exit 1; }

if [ "$kind" = live ]; then
    # What the program serves while it trains ...
    "$program" train --dataset synthetic --train-samples 2048 --test-samples 256 --epochs 100000 --out "$folder/run" \
        --live --keep 0 >/dev/null 2>"$folder/train.log" &
    train=$!
    trap 'kill "$train" 2>/dev/null || true; wait "$train" 2>/dev/null || true; rm -rf "$folder"' EXIT
    address=
    for _ in $(seq 200); do
        address=$(sed -n 's|.*\(http://127\.0\.0\.1:[0-9]*/\).*|\1|p' "$folder/train.log" | head -1)
        [ -n "$address" ] && [ "$(wc -l <"$folder/run/history.csv" 2>/dev/null || echo 0)" -ge 3 ] && break
        sleep 0.2
    done
    [ -n "$address" ] || { cat "$folder/train.log"; fail "no address on the terminal"; }
    browse 1300,800 "$address"
    grep -q 'data-chart="loss"' "$folder/dom" || fail "no loss on the live page"
    grep -q 'id="live"' "$folder/dom" || fail "the live page does not say that it is"
    kill -INT "$train"
    wait "$train" || true
    [ -s "$folder/run/report.html" ] || fail "no report of the stopped run"
    grep -q EventSource "$folder/run/report.html" && fail "the report of the ended run still follows it"
    # ... and what its script does with events: here they come from the page itself, so that time can be the browser's own.
    {
        sed 's|</body>||; s|</html>||' "$folder/run/report.html"
        printf '<p id="live"></p><script>'
        cat "$here/live_checks.js"
        printf '</script><script>'
        cat "$here/../../host/report/live.js"
        printf '</script></body></html>'
    } >"$folder/page.html"
    browse 1300,800 "file://$folder/page.html" --virtual-time-budget=8000
    title
    case $(title) in PASSED*) exit 0 ;; *) fail "the page does not follow" ;; esac
fi

case $kind in
    run) "$recorded_runs" "$folder/runs" 1 1 30 ;;
    rows5) "$recorded_runs" "$folder/runs" 1 5 30 ;;
    rows25) "$recorded_runs" "$folder/runs" 5 5 30 ;;
    rows100) "$recorded_runs" "$folder/runs" 20 5 30 ;;
    bench) "$program" bench --widths 64,96 --batches 16,128 --sparsities 0.5,0.8,0.95 --seconds 0.01 \
        --out "$folder/bench" >/dev/null ;;
    *) fail "no kind '$kind'" ;;
esac
if [ "$kind" = bench ]; then
    page=$folder/bench/bench.html csv=/dev/null
else
    page=$folder/report.html csv=$folder/report-figures/loss.csv
    "$program" report "$folder"/runs/* --out "$page" >/dev/null
fi
[ -s "$page" ] || fail "there is no page"
bytes=$(wc -c <"$page")
[ "$bytes" -lt 2000000 ] || fail "the page has $bytes bytes"

# The page itself, with the numbers of a chart and a script at its end that leaves what it saw in the title.
{
    sed 's|</body>||; s|</html>||' "$page"
    printf '<script type="text/plain" id="csv">'
    cat "$csv"
    printf '</script>\n<script>const kind = "%s";\n' "$kind"
    cat "$here/browser_checks.js"
    printf '</script></body></html>\n'
} >"$folder/page.html"

# Ready within a second; where the machine has other work, as many times that as each core has processes to share it.
allowed=$(awk -v cores="$(nproc)" '{ share = $1 / cores; print int(1000 * (share > 1 ? share : 1)) }' /proc/loadavg)
browse 1300,900 "file://$folder/page.html"
found=$(title)
echo "$found, $bytes bytes"
case $found in PASSED*) ;; *) fail "on the desktop" ;; esac
ready_in() { echo "$found" | sed -n 's|.*ready after \([0-9]*\) ms.*|\1|p'; }
# another process may have begun meanwhile: the quickest of three times counts
for again in 1 2; do
    [ "$(ready_in)" -ge "$allowed" ] || break
    echo "ready after $(ready_in) ms, allowed are $allowed: looked at again, $again of 2"
    browse 1300,900 "file://$folder/page.html"
    found=$(title)
done
[ "$(ready_in)" -lt "$allowed" ] || fail "ready after $(ready_in) ms, allowed are $allowed"
sed -i "s|const kind = |const phone = true, kind = |" "$folder/page.html"
browse 400,800 "file://$folder/page.html"
echo "phone: $(title)"
case $(title) in PASSED*) ;; *) fail "on a phone" ;; esac
