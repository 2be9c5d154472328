'use strict';
// Readings of charts under the pointer and by keyboard, and zoom. Charts are already drawn; scales and values are
// written on them.
const charts = (() => {
  const svgNS = 'http://www.w3.org/2000/svg';
  const tip = document.getElementById('tip');
  const zoomed = new WeakMap();  // chart: its domain and its drawing as it came
  let reading = null;            // { svg, mark, place }

  const say = (x, y, text) => {
    tip.hidden = false;
    tip.innerText = text;
    const box = tip.getBoundingClientRect();
    tip.style.left = Math.max(4, Math.min(x + 14, innerWidth - box.width - 4)) + 'px';
    tip.style.top = (y - box.height - 12 > 4 ? y - box.height - 12 : y + 18) + 'px';
  };
  const hush = () => {
    tip.hidden = true;
    if (!reading) return;
    reading.svg.classList.remove('reading');
    reading.svg.querySelector('.near')?.classList.remove('near');
    reading.svg.querySelectorAll('.cursor').forEach(each => each.remove());
    reading = null;
  };

  // ---- scales
  const scaleOf = (domain, from, to) => {
    const log = domain.kind === 'log';
    const turned = value => log ? Math.log(value === 0 && domain.zero ? domain.zero : value) : value;
    const a = turned(domain.low), b = turned(domain.high);
    return {
      at: value => from + (turned(value) - a) / (b - a) * (to - from),
      back: place => {
        const value = a + (place - from) / (to - from) * (b - a);
        return log ? Math.exp(value) : value;
      }
    };
  };
  const domainOf = text => {
    const [kind, low, high, zero] = text.split(' ');
    return { kind, low: +low, high: +high, zero: +zero || 0 };
  };
  const scales = svg => {
    const [left, top, right, bottom] = svg.dataset.box.split(' ').map(Number);
    const state = zoomed.get(svg);
    const dx = state ? state.x : domainOf(svg.dataset.x), dy = state ? state.y : domainOf(svg.dataset.y);
    return { left, top, right, bottom, dx, dy, x: scaleOf(dx, left, right), y: scaleOf(dy, bottom, top) };
  };
  const pairs = text => text.split(' ').map(pair => pair.split(','));

  // ---- readings
  const marksOf = svg => [...svg.querySelectorAll('.marks > [data-v]')];
  const valuesOf = mark => pairs(mark.dataset.v);

  const textOf = (svg, mark, place) => {
    const [x, y] = valuesOf(mark)[place];
    const around = mark.dataset.b ? pairs(mark.dataset.b)[place] : null;
    const interval = around && around.every(each => Number.isFinite(+each)) ? ` (${around[0]} to ${around[1]})` : '';
    if (svg.dataset.rows !== undefined) {
      const row = svg.dataset.rows.split('\n')[+y];
      const kind = mark.dataset.name === row ? '' : ` · ${mark.dataset.name}`;
      return `${row}${kind}\n${svg.dataset.xLabel}: ${x}${interval}`;
    }
    return `${mark.dataset.name}\n${svg.dataset.xLabel} ${x}\n${svg.dataset.yLabel}: ${y}${interval}`;
  };
  const show = (svg, mark, place) => {
    if (reading && reading.svg !== svg) hush();
    svg.querySelectorAll('.cursor').forEach(each => each.remove());
    svg.querySelector('.near')?.classList.remove('near');
    svg.classList.add('reading');
    mark.classList.add('near');
    reading = { svg, mark, place };
    const plot = scales(svg);
    const [x, y] = valuesOf(mark)[place].map(Number);
    const px = plot.x.at(x), py = plot.y.at(y) + (svg.dataset.rows !== undefined && svg.querySelector('.row-name') ? 5 : 0);
    const dot = svg.appendChild(document.createElementNS(svgNS, 'circle'));
    for (const [name, value] of [['class', 'cursor'], ['cx', px], ['cy', py], ['r', 4]]) dot.setAttribute(name, value);
    const frame = svg.getBoundingClientRect(), size = frame.width / svg.viewBox.baseVal.width;
    say(frame.left + px * size, frame.top + py * size, textOf(svg, mark, place));
  };
  const placeIn = (svg, event) => {
    const frame = svg.getBoundingClientRect(), size = svg.viewBox.baseVal.width / frame.width;
    return [(event.clientX - frame.left) * size, (event.clientY - frame.top) * size];
  };
  const nearest = (svg, px, py) => {
    const plot = scales(svg);
    let best = null;
    for (const mark of marksOf(svg)) {
      const isLine = mark.querySelector('polyline') !== null;
      const values = valuesOf(mark);
      let place = -1, least = Infinity;
      values.forEach(([x, y], i) => {
        const dx = plot.x.at(+x) - px;
        const far = isLine ? Math.abs(dx) : Math.hypot(dx, plot.y.at(+y) - py);
        if (far < least) [place, least] = [i, far];
      });
      const x = plot.x.at(+values[place][0]), y = plot.y.at(+values[place][1]);
      if (x < plot.left - 1 || x > plot.right + 1) continue;
      const distance = isLine ? Math.abs(y - py) + 0.3 * least : least;
      if (!best || distance < best.distance) best = { mark, place, distance };
    }
    return best;
  };
  const read = (svg, event) => {
    const [px, py] = placeIn(svg, event);
    const plot = scales(svg);
    if (px < plot.left - 8 || px > plot.right + 8 || py < plot.top - 8 || py > plot.bottom + 8) return hush();
    const found = nearest(svg, px, py);
    if (found) show(svg, found.mark, found.place);
  };

  // ---- zoom: marks are put anew, axes too
  const niceStep = step => {
    const power = 10 ** Math.floor(Math.log10(step));
    return power * [1, 2, 5, 10].find(multiple => multiple * power >= step * (1 - 1e-9));
  };
  const ticksOf = domain => {
    const { low, high } = domain;
    if (domain.kind === 'log') {
      const ticks = [];
      const multiples = Math.log10(high / low) < 3 ? [1, 2, 5] : [1];
      for (let d = Math.floor(Math.log10(low)); d <= Math.log10(high); ++d) {
        for (const multiple of multiples) {
          const tick = multiple * 10 ** d;
          if (tick >= low && tick <= high) ticks.push(+tick.toPrecision(6));
        }
      }
      if (ticks.length >= 3 && ticks.length < 10) return ticks;
    }
    const step = niceStep((high - low) / 5), ticks = [];
    for (let i = Math.ceil(low / step); i * step <= high; ++i) ticks.push(+(i * step).toPrecision(6));
    return ticks;
  };
  const element = (parent, kind, attributes, text) => {
    const made = parent.appendChild(document.createElementNS(svgNS, kind));
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    if (text !== undefined) made.textContent = text;
  };
  const drawAxes = (svg, plot) => {
    const axes = svg.querySelector('.axes');
    axes.replaceChildren();
    for (const tick of ticksOf(plot.dy)) {
      const y = plot.y.at(tick);
      element(axes, 'line', { class: 'grid', x1: plot.left, x2: plot.right, y1: y, y2: y });
      element(axes, 'text', { class: 'tick end', x: plot.left - 5, y: y + 3.5 }, String(tick));
    }
    for (const tick of ticksOf(plot.dx)) {
      const x = plot.x.at(tick);
      element(axes, 'line', { class: 'grid', x1: x, x2: x, y1: plot.top, y2: plot.bottom });
      element(axes, 'text', { class: 'tick middle', x, y: plot.bottom + 14 }, String(tick));
    }
    element(axes, 'line', { class: 'axis', x1: plot.left, x2: plot.right, y1: plot.bottom, y2: plot.bottom });
  };
  const drawMarks = (svg, plot) => {
    const text = points => points.map(([x, y]) => x.toFixed(1) + ',' + y.toFixed(1)).join(' ');
    for (const mark of marksOf(svg)) {
      const values = valuesOf(mark).map(([x, y]) => [+x, +y]);
      const half = +mark.dataset.half || 0;
      const line = mark.querySelector('polyline');
      const around = mark.dataset.b ? pairs(mark.dataset.b).map(([low, high]) => [+low, +high]) : [];
      const y = value => Math.max(-1e4, Math.min(1e4, plot.y.at(value > 0 || plot.dy.kind !== 'log' ? value : plot.dy.low)));
      if (line) {
        const points = half ? values.flatMap(([x, v]) => [[x - half, v], [x + half, v]]) : values;
        line.setAttribute('points', text(points.map(([x, v]) => [plot.x.at(x), y(v)])));
        mark.querySelector('.band')?.setAttribute('points', text([
          ...values.map(([x], i) => [plot.x.at(x), y(around[i][1])]),
          ...values.map(([x], i) => [plot.x.at(x), y(around[i][0])]).reverse()]));
      } else {
        let w = 0;
        const whiskers = mark.querySelectorAll('.whisker');
        mark.querySelectorAll('circle, path').forEach((dot, i) => {
          const [px, py] = [plot.x.at(values[i][0]), y(values[i][1])];
          if (dot.tagName === 'circle') { dot.setAttribute('cx', px); dot.setAttribute('cy', py); }
          else dot.setAttribute('d', `M${px} ${py - 5.5}l5.5 5.5l-5.5 5.5l-5.5 -5.5z`);
          if (!around[i] || !around[i].every(Number.isFinite)) return;
          const whisker = whiskers[w++];
          for (const [name, value] of [['x1', px], ['x2', px], ['y1', y(around[i][0])], ['y2', y(around[i][1])]]) {
            whisker.setAttribute(name, value);
          }
        });
      }
    }
  };
  const reset = svg => {
    const state = zoomed.get(svg);
    if (!state) return;
    hush();
    svg.innerHTML = state.drawing;
    zoomed.delete(svg);
    svg.classList.remove('zoomed');
  };
  let clips = 0;
  const zoom = (svg, low, high) => {
    if (svg.dataset.rows !== undefined || !(high > low)) return;
    const before = scales(svg);
    const inside = marksOf(svg).flatMap(mark => valuesOf(mark).map(([x, y]) => [+x, +y]))
      .filter(([x]) => x >= low && x <= high).map(([, y]) => y);
    if (inside.length < 2) return;
    hush();
    const state = zoomed.get(svg) || { drawing: svg.innerHTML };
    let [least, most] = [Math.min(...inside), Math.max(...inside)];
    if (before.dy.kind === 'log') [least, most] = [least / 1.05, most * 1.05];
    else if (least === most) [least, most] = [least - Math.abs(least) * 0.1 - 1e-9, most + Math.abs(most) * 0.1 + 1e-9];
    else [least, most] = [least - 0.05 * (most - least), most + 0.05 * (most - least)];
    state.x = { ...before.dx, low, high };
    state.y = { ...before.dy, low: least, high: most };
    zoomed.set(svg, state);
    svg.classList.add('zoomed');
    const plot = scales(svg);
    if (!svg.querySelector('clipPath')) {
      const clip = svg.insertBefore(document.createElementNS(svgNS, 'clipPath'), svg.firstChild);
      clip.id = 'clip-' + ++clips;
      element(clip, 'rect', { x: plot.left, y: plot.top, width: plot.right - plot.left, height: plot.bottom - plot.top });
      svg.querySelector('.marks').setAttribute('clip-path', `url(#${clip.id})`);
    }
    drawAxes(svg, plot);
    drawMarks(svg, plot);
    const reference = svg.querySelector('.reference');
    if (reference) {
      const y = plot.y.at(+reference.dataset.at);
      reference.setAttribute('y1', y);
      reference.setAttribute('y2', y);
      reference.style.display = y >= plot.top && y <= plot.bottom ? '' : 'none';
    }
  };

  // ---- pointer
  let drag = null;
  const chartOf = event => event.target.closest?.('svg.chart');
  document.addEventListener('pointermove', event => {
    if (drag) {
      const [px] = placeIn(drag.svg, event);
      const plot = scales(drag.svg);
      const [a, b] = [drag.from, Math.max(plot.left, Math.min(plot.right, px))].sort((one, other) => one - other);
      drag.box ??= drag.svg.appendChild(document.createElementNS(svgNS, 'rect'));
      for (const [name, value] of [['class', 'selection'], ['x', a], ['width', b - a], ['y', plot.top], ['height', plot.bottom - plot.top]]) {
        drag.box.setAttribute(name, value);
      }
      drag.to = px;
      return;
    }
    const svg = chartOf(event);
    if (svg) read(svg, event);
    else if (reading && !reading.svg.matches(':focus-visible')) hush();
  });
  document.addEventListener('pointerdown', event => {
    const svg = chartOf(event);
    if (!svg) return;
    read(svg, event);
    const [px] = placeIn(svg, event), plot = scales(svg);
    const startable = event.pointerType !== 'touch' && event.button === 0 && svg.dataset.rows === undefined;
    if (startable && px >= plot.left && px <= plot.right) drag = { svg, from: px, to: px };
  });
  document.addEventListener('pointerup', () => {
    if (!drag) return;
    const { svg, from, to, box } = drag;
    box?.remove();
    drag = null;
    if (Math.abs(to - from) < 8) return;
    const plot = scales(svg);
    zoom(svg, plot.x.back(Math.max(plot.left, Math.min(from, to))), plot.x.back(Math.min(plot.right, Math.max(from, to))));
  });
  document.addEventListener('dblclick', event => { const svg = chartOf(event); if (svg) reset(svg); });

  // ---- keyboard: arrows walk along a series and from one to the next, + and - zoom, Escape ends
  document.addEventListener('keydown', event => {
    const svg = event.target.closest?.('svg.chart');
    if (!svg || event.ctrlKey || event.metaKey || event.altKey) return;
    const marks = marksOf(svg);
    if (!marks.length) return;
    if (event.key === 'Escape') { reset(svg); hush(); return; }
    const known = reading && reading.svg === svg ? reading : null;
    const at = known ? marks.indexOf(known.mark) : 0;
    const length = mark => valuesOf(mark).length;
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key] || 0, turn = { ArrowDown: 1, ArrowUp: -1 }[event.key] || 0;
    if (step || turn || event.key === 'Home' || event.key === 'End') {
      const mark = marks[(at + turn + marks.length) % marks.length];
      let place = known ? known.place + step : length(mark) - 1;
      if (event.key === 'Home') place = 0;
      if (event.key === 'End') place = length(mark) - 1;
      show(svg, mark, Math.max(0, Math.min(length(mark) - 1, place)));
      event.preventDefault();
    } else if (event.key === '+' || event.key === '-') {
      const plot = scales(svg);
      const middle = known ? plot.x.at(+valuesOf(known.mark)[known.place][0]) : (plot.left + plot.right) / 2;
      const half = (plot.right - plot.left) * 0.25;
      if (event.key === '-') reset(svg);
      else zoom(svg, plot.x.back(Math.max(plot.left, middle - half)), plot.x.back(Math.min(plot.right, middle + half)));
      event.preventDefault();
    }
  });
  document.addEventListener('focusout', event => { if (event.target.matches?.('svg.chart')) hush(); });

  return { scales, say, hush, svgNS };
})();
