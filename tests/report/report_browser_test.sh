#!/bin/sh
# Opens a report in headless Chromium: no console error, and moving the slider by script changes the picture.
# Usage: report_browser_test.sh PROGRAM | PAGE.html. The program first trains a little and writes the page.
# Exits 77 (skipped, aloud) where there is no Chromium.
set -eu
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
if [ -z "$browser" ]; then
    echo "SKIPPED: no chromium on this machine"
    exit 77
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
case $1 in
    *.html) page=$1 ;;
    *)
        page=$folder/report.html
        "$1" train --dataset synthetic --train-samples 512 --test-samples 128 --epochs 4 --out "$folder/run" >/dev/null
        "$1" report "$folder/run" --out "$page"
        ;;
esac
if [ ! -s "$page" ]; then
    echo "FAILED: there is no report at $page"
    exit 1
fi

# The page itself, with a script at its end that acts as a person would and leaves what it saw in the title.
sed 's|</body>|<script>\
addEventListener("error", event => { document.title = "ERROR " + event.message; });\
addEventListener("load", () => {\
  const canvas = document.querySelector("canvas");\
  const slider = document.getElementById("epoch");\
  const look = () => {\
    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;\
    const live = document.querySelector(".live");\
    return { frame: canvas.dataset.frame, epoch: canvas.dataset.epoch, picture: Array.from(pixels).join(),\
             curve: live.getAttribute("points"),\
             colours: new Set(Array.from({ length: pixels.length / 4 }, (_, i) => pixels.slice(4 * i, 4 * i + 3).join())).size };\
  };\
  const move = place => { slider.value = place; slider.dispatchEvent(new Event("input")); return look(); };\
  const last = look(), first = move(0), again = move(slider.max);\
  const faults = [];\
  if (last.frame !== slider.max) faults.push("does not open on the last frame");\
  if (first.frame !== "0" \|\| first.epoch !== "0") faults.push("the slider does not reach the birth");\
  if (first.picture === last.picture) faults.push("the picture stays the same");\
  if (first.curve === last.curve) faults.push("the trend curve stays the same");\
  if (again.picture !== last.picture) faults.push("the way back gives another picture");\
  if (last.colours < 5) faults.push("a picture of " + last.colours + " colours");\
  const chart = document.querySelector("svg.chart");\
  const box = chart.getBoundingClientRect();\
  chart.dispatchEvent(new PointerEvent("pointermove", { clientX: box.left + box.width / 2, clientY: box.top + 50 }));\
  if (document.getElementById("tip").hidden) faults.push("no reading under the pointer");\
  document.title = faults.length ? "FAULT " + faults.join("; ") : "PASSED " + last.colours + " colours";\
});</script></body>|' "$page" >"$folder/page.html"

timeout 120 "$browser" --headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
    --disable-background-networking --disable-component-update --disable-sync --user-data-dir="$folder/profile" \
    --enable-logging=stderr --v=0 --virtual-time-budget=5000 --dump-dom "file://$folder/page.html" \
    >"$folder/dom" 2>"$folder/log" || { tail -5 "$folder/log"; echo "FAILED: the browser did not run"; exit 1; }

if grep -F 'CONSOLE' "$folder/log"; then
    echo "FAILED: the console is not empty"
    exit 1
fi
title=$(sed -n 's|.*<title>\(.*\)</title>.*|\1|p' "$folder/dom" | head -1)
echo "$title"
case $title in
    PASSED*) ;;
    *) echo "FAILED"; exit 1 ;;
esac
