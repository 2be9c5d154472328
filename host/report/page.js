'use strict';
// The moving part of a report: frames of connection maps, one slider over the epochs, curves that follow it, readings
// under the pointer. Everything else is already drawn.
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const tip = document.getElementById('tip');
  const palette = data.palette.match(/.{6}/g).map(hex => [0, 2, 4].map(i => parseInt(hex.substr(i, 2), 16)));

  const number = value => {
    if (value === 0) return '0';
    const size = Math.abs(value);
    return size >= 1e5 || size < 1e-3 ? value.toExponential(3) : String(+value.toPrecision(5));
  };

  const say = (event, text) => {
    tip.hidden = false;
    tip.innerText = text;
    const box = tip.getBoundingClientRect();
    tip.style.left = Math.max(4, Math.min(event.clientX + 14, innerWidth - box.width - 4)) + 'px';
    tip.style.top = Math.max(4, event.clientY - box.height - 12) + 'px';
  };
  const hush = () => { tip.hidden = true; };

  // ---- charts: scales are written on the drawing, values are read back from it
  const scaleOf = (text, from, to) => {
    const [kind, low, high] = text.split(' ');
    const log = kind === 'log';
    const [a, b] = [low, high].map(Number).map(value => log ? Math.log(value) : value);
    return {
      at: value => from + ((log ? Math.log(value) : value) - a) / (b - a) * (to - from),
      back: place => {
        const value = a + (place - from) / (to - from) * (b - a);
        return log ? Math.exp(value) : value;
      }
    };
  };
  const scales = svg => {
    const [left, top, right, bottom] = svg.dataset.box.split(' ').map(Number);
    return { left, top, right, bottom, x: scaleOf(svg.dataset.x, left, right), y: scaleOf(svg.dataset.y, bottom, top) };
  };
  const drawn = (svg, kind) => {
    const element = svg.querySelector('.' + kind) ||
      svg.appendChild(document.createElementNS('http://www.w3.org/2000/svg', kind === 'cursor' ? 'line' : 'polyline'));
    element.setAttribute('class', kind === 'cursor' ? 'cursor' : 'line live');
    return element;
  };
  const pointsOf = mark => mark.tagName === 'polyline'
    ? mark.getAttribute('points').trim().split(' ').map(pair => pair.split(',').map(Number))
    : [...mark.querySelectorAll('circle')].map(dot => [+dot.getAttribute('cx'), +dot.getAttribute('cy')]);

  const read = (svg, event) => {
    const plot = scales(svg);
    const frame = svg.getBoundingClientRect();
    const place = (event.clientX - frame.left) / frame.width * svg.viewBox.baseVal.width;
    const nearest = new Map();
    for (const mark of svg.querySelectorAll('[data-name]')) {
      for (const [px, py] of pointsOf(mark)) {
        const known = nearest.get(mark.dataset.name);
        if (!known || Math.abs(px - place) < Math.abs(known[0] - place)) nearest.set(mark.dataset.name, [px, py]);
      }
    }
    if (!nearest.size) return hush();
    const anchor = [...nearest.values()].reduce((a, b) => Math.abs(b[0] - place) < Math.abs(a[0] - place) ? b : a)[0];
    const cursor = drawn(svg, 'cursor');
    for (const [name, value] of [['x1', anchor], ['x2', anchor], ['y1', plot.top], ['y2', plot.bottom]]) {
      cursor.setAttribute(name, value);
    }
    const lines = [`${svg.dataset.xLabel} ${number(+plot.x.back(anchor).toPrecision(4))}`];
    for (const [name, [px, py]] of nearest) {
      if (Math.abs(px - anchor) < 6) lines.push(`${name}: ${number(+plot.y.back(py).toPrecision(4))}`);
    }
    say(event, lines.join('\n'));
  };
  for (const svg of document.querySelectorAll('svg.chart')) {
    svg.addEventListener('pointermove', event => read(svg, event));
    svg.addEventListener('pointerdown', event => read(svg, event));
    svg.addEventListener('pointerleave', () => { svg.querySelector('.cursor')?.remove(); hush(); });
  }

  // ---- maps
  const decoded = run => {
    const text = atob(run.frames);
    const bytes = Uint8Array.from(text, letter => letter.charCodeAt(0));
    if (run.bytes === 1) return bytes;
    const view = new DataView(bytes.buffer);
    return Float64Array.from({ length: bytes.length / run.bytes },
      (_, i) => run.bytes === 2 ? view.getUint16(2 * i, true) : view.getUint32(4 * i, true));
  };
  const sum = (map, width, [y0, y1], [x0, x1]) => {
    let total = 0;
    for (let y = y0; y < y1; ++y) for (let x = x0; x < x1; ++x) total += map[y * width + x];
    return [total, (y1 - y0) * (x1 - x0)];
  };
  const covered = (side, i) => [Math.max(0, ((side - 1) >> 1) - i), Math.min(side, (side >> 1) + i + 1)];
  // The squares of the trend curve and the rings between them, as espalier::trend_curve has them.
  const curves = (map, height, width) => {
    const trend = [], rings = [];
    let inner = [0, 0];
    for (let i = 0; 2 * i < Math.max(height, width); ++i) {
      const outer = sum(map, width, covered(height, i), covered(width, i));
      trend.push(outer[0] / outer[1]);
      rings.push((outer[0] - inner[0]) / (outer[1] - inner[1]));
      inner = outer;
    }
    return { trend, rings };
  };
  const follow = (svg, values, even) => {
    if (!svg) return;
    const plot = scales(svg);
    drawn(svg, 'live').setAttribute('points', values.map((value, i) => {
      const y = Math.max(plot.top, Math.min(plot.bottom, plot.y.at(value)));
      return plot.x.at(2 * i + (even ? 2 : 1)).toFixed(2) + ',' + y.toFixed(2);
    }).join(' '));
  };

  const maps = data.runs.filter(run => run.frames).map(run => ({ ...run, counts: decoded(run) }));
  document.body.dataset.ready = 'yes';
  if (!maps.length) return;
  const epochs = [...new Set(maps.flatMap(run => run.epochs))].sort((a, b) => a - b);
  const common = Math.max(...maps.map(run => run.highest));
  const slider = document.getElementById('epoch');
  const play = document.getElementById('play');
  const shown = document.getElementById('shown');
  const together = document.getElementById('together');

  const draw = (run, epoch) => {
    let frame = 0;
    while (frame + 1 < run.epochs.length && run.epochs[frame + 1] <= epoch) ++frame;
    const pixels = run.height * run.width;
    const map = run.counts.subarray(frame * pixels, (frame + 1) * pixels);
    const highest = Math.max(1, together?.checked ? common : run.highest);
    const canvas = document.getElementById('map-' + run.slug);
    const context = canvas.getContext('2d', { willReadFrequently: true });
    const image = context.createImageData(run.width, run.height);
    for (let i = 0; i < pixels; ++i) {
      image.data.set([...palette[Math.min(255, Math.round(map[i] / highest * 255))], 255], 4 * i);
    }
    context.putImageData(image, 0, 0);
    canvas.dataset.frame = frame;
    canvas.dataset.epoch = run.epochs[frame];
    run.map = map;
    document.getElementById('highest-' + run.slug).textContent = highest;
    const side = Math.max(1, Math.min(run.height, run.width) >> 1);
    const [top, left] = [(run.height - side) >> 1, (run.width - side) >> 1];
    const centre = sum(map, run.width, [top, top + side], [left, left + side]);
    const all = sum(map, run.width, [0, run.height], [0, run.width]);
    const contrast = centre[0] / centre[1] / (all[0] / all[1]) - 1;
    document.getElementById('reading-' + run.slug).textContent =
      `${run.epochs[frame] === 0 ? 'birth' : 'epoch ' + run.epochs[frame]}, contrast ${contrast >= 0 ? '+' : ''}${contrast.toFixed(3)}`;
    const even = Math.max(run.height, run.width) % 2 === 0;
    const { trend, rings } = curves(map, run.height, run.width);
    follow(document.querySelector(`[data-chart="trend-${run.slug}"]`), trend, even);
    follow(document.querySelector(`[data-chart="rings-${run.slug}"]`), rings, even);
  };
  const show = () => {
    const epoch = epochs[+slider.value];
    shown.textContent = epoch === 0 ? 'birth' : 'epoch ' + epoch;
    for (const run of maps) draw(run, epoch);
  };

  let timer = 0;
  const stop = () => { clearInterval(timer); timer = 0; play.textContent = 'Play'; };
  const start = () => {
    if (+slider.value === epochs.length - 1) slider.value = 0;
    const step = Math.max(1, Math.round(epochs.length / 240));
    play.textContent = 'Pause';
    timer = setInterval(() => {
      slider.value = Math.min(epochs.length - 1, +slider.value + step);
      show();
      if (+slider.value === epochs.length - 1) stop();
    }, 50);
  };
  slider.max = epochs.length - 1;
  slider.value = epochs.length - 1;
  slider.addEventListener('input', () => { stop(); show(); });
  play.addEventListener('click', () => timer ? stop() : start());
  together?.addEventListener('change', show);

  for (const run of maps) {
    const canvas = document.getElementById('map-' + run.slug);
    const point = event => {
      const frame = canvas.getBoundingClientRect();
      const x = Math.min(run.width - 1, Math.max(0, Math.floor((event.clientX - frame.left) / frame.width * run.width)));
      const y = Math.min(run.height - 1, Math.max(0, Math.floor((event.clientY - frame.top) / frame.height * run.height)));
      say(event, `row ${y}, column ${x}: ${run.map[y * run.width + x]} edges`);
    };
    canvas.addEventListener('pointermove', point);
    canvas.addEventListener('pointerdown', point);
    canvas.addEventListener('pointerleave', hush);
  }
  show();
})();
