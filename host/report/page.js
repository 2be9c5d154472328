// The moving part of a report: frames of connection maps, one slider over the epochs, curves that follow it, parts that
// are made when they are opened. Everything else is already drawn.
const reportPage = (() => {
  document.addEventListener('toggle', event => {
    const template = event.target.open && event.target.matches?.('details.deferred') &&
      event.target.querySelector(':scope > template');
    if (template) template.replaceWith(template.content);
  }, true);

  const decoded = map => {
    const text = atob(map.frames);
    const bytes = Uint8Array.from(text, letter => letter.charCodeAt(0));
    if (map.bytes === 1) return bytes;
    const view = new DataView(bytes.buffer);
    return Float64Array.from({ length: bytes.length / map.bytes },
      (_, i) => map.bytes === 2 ? view.getUint16(2 * i, true) : view.getUint32(4 * i, true));
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
    if (!svg || svg.classList.contains('zoomed')) return;
    const plot = charts.scales(svg);
    const line = svg.querySelector('.live') || svg.appendChild(document.createElementNS(charts.svgNS, 'polyline'));
    line.setAttribute('class', 'line live');
    line.setAttribute('points', values.map((value, i) => {
      const y = Math.max(plot.top, Math.min(plot.bottom, plot.y.at(value)));
      return plot.x.at(2 * i + (even ? 2 : 1)).toFixed(1) + ',' + y.toFixed(1);
    }).join(' '));
  };
  const momentText = epoch => epoch === 0 ? 'birth' : 'epoch ' + epoch;

  let timer = 0;
  const start = () => {
    clearInterval(timer);
    timer = 0;
    const data = JSON.parse(document.getElementById('data').textContent);
    const palette = data.palette.match(/.{6}/g).map(hex => [0, 2, 4].map(i => parseInt(hex.substr(i, 2), 16)));
    const maps = data.maps.map(map => ({ ...map, counts: decoded(map) }));
    document.body.dataset.ready = 'yes';
    if (!maps.length) return;
    const epochs = [...new Set(maps.flatMap(map => map.epochs))].sort((a, b) => a - b);
    const common = Math.max(...maps.map(map => map.highest / map.runs));
    const slider = document.getElementById('epoch');
    const play = document.getElementById('play');
    const shown = document.getElementById('shown');
    const together = document.getElementById('together');

    const draw = (map, epoch) => {
      let frame = 0;
      while (frame + 1 < map.epochs.length && map.epochs[frame + 1] <= epoch) ++frame;
      const pixels = map.height * map.width;
      const counts = map.counts.subarray(frame * pixels, (frame + 1) * pixels);
      const highest = Math.max(1 / map.runs, together?.checked ? common : map.highest / map.runs);
      const canvas = document.getElementById('map-' + map.slug);
      const context = canvas.getContext('2d', { willReadFrequently: true });
      const image = context.createImageData(map.width, map.height);
      for (let i = 0; i < pixels; ++i) {
        image.data.set([...palette[Math.min(255, Math.round(counts[i] / map.runs / highest * 255))], 255], 4 * i);
      }
      context.putImageData(image, 0, 0);
      canvas.dataset.frame = frame;
      canvas.dataset.epoch = map.epochs[frame];
      map.shown = counts;
      document.getElementById('highest-' + map.slug).textContent = +highest.toPrecision(3);
      const side = Math.max(1, Math.min(map.height, map.width) >> 1);
      const [top, left] = [(map.height - side) >> 1, (map.width - side) >> 1];
      const centre = sum(counts, map.width, [top, top + side], [left, left + side]);
      const all = sum(counts, map.width, [0, map.height], [0, map.width]);
      const contrast = centre[0] / centre[1] / (all[0] / all[1]) - 1;
      const text = `${momentText(map.epochs[frame])}, contrast ${contrast >= 0 ? '+' : ''}${contrast.toFixed(3)}`;
      document.getElementById('reading-' + map.slug).textContent = text;
      canvas.setAttribute('aria-label',
        `Edges per pixel, ${map.name}, ${text}, on average ${+(all[0] / all[1] / map.runs).toPrecision(4)}, scale up to ${+highest.toPrecision(3)}`);
      const even = Math.max(map.height, map.width) % 2 === 0;
      const { trend, rings } = curves(counts, map.height, map.width);
      follow(document.querySelector(`[data-chart="trend-${map.slug}"]`), trend, even);
      follow(document.querySelector(`[data-chart="rings-${map.slug}"]`), rings, even);
    };
    const show = () => {
      const epoch = epochs[+slider.value];
      shown.textContent = momentText(epoch);
      slider.setAttribute('aria-valuetext', shown.textContent);
      for (const map of maps) draw(map, epoch);
    };
    const stop = () => { clearInterval(timer); timer = 0; play.textContent = 'Play'; };
    const run = () => {
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
    play.addEventListener('click', () => timer ? stop() : run());
    together?.addEventListener('change', show);

    for (const map of maps) {
      const canvas = document.getElementById('map-' + map.slug);
      const point = event => {
        const frame = canvas.getBoundingClientRect();
        const x = Math.min(map.width - 1, Math.max(0, Math.floor((event.clientX - frame.left) / frame.width * map.width)));
        const y = Math.min(map.height - 1, Math.max(0, Math.floor((event.clientY - frame.top) / frame.height * map.height)));
        const value = map.shown[y * map.width + x] / map.runs;
        charts.say(event.clientX, event.clientY,
          `row ${y}, column ${x}: ${+value.toPrecision(4)} edges${map.runs > 1 ? ` (mean of ${map.runs} runs)` : ''}`);
      };
      canvas.addEventListener('pointermove', point);
      canvas.addEventListener('pointerdown', point);
      canvas.addEventListener('pointerleave', charts.hush);
    }
    show();
  };
  start();
  return { start };
})();
