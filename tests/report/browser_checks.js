// What report_browser_test.sh looks at, within the page. `kind` says which page it is; `phone` is there on a small screen.
addEventListener('error', event => { document.title = 'ERROR ' + event.message; });
addEventListener('load', () => {
  const faults = [];
  const expect = (condition, text) => { if (!condition) faults.push(text); };
  const small = typeof phone !== 'undefined';
  const navigation = performance.getEntriesByType('navigation')[0];
  const ready = Math.round(navigation.domContentLoadedEventEnd);
  const height = document.documentElement.scrollHeight;
  if (!small && kind === 'rows100') expect(height < 6000, `the page is ${height} px high`);
  expect(document.documentElement.scrollWidth <= innerWidth, `the page is ${document.documentElement.scrollWidth} px wide`);
  if (kind !== 'bench') {
    expect(document.querySelector('#verdict')?.textContent.includes('after 30 epochs') ||
      document.querySelector('#verdict')?.textContent.includes('After 30 epochs'), 'no verdict after 30 epochs');
    const first = document.querySelector('#verdict').getBoundingClientRect();
    expect(first.bottom < innerHeight, 'the verdict is not on the first screen');
  }
  if (!small && kind.startsWith('rows')) {
    for (const chart of document.querySelectorAll('.answer svg.chart')) {
      expect(chart.getBoundingClientRect().bottom < 900, `${chart.dataset.chart} ends below the first screen`);
    }
  }

  // ---- everything open
  const boxesApart = chart => {
    const texts = [...chart.querySelectorAll('text')].map(text => [text.textContent, text.getBoundingClientRect()])
      .filter(([, box]) => box.width > 0);
    const frame = chart.getBoundingClientRect();
    for (let a = 0; a < texts.length; ++a) {
      const [text, one] = texts[a];
      if (one.left < frame.left - 1 || one.right > frame.right + 1 || one.top < frame.top - 1 || one.bottom > frame.bottom + 1) {
        faults.push(`${chart.dataset.chart}: '${text}' leaves the drawing`);
      }
      for (let b = 0; b < a; ++b) {
        const [other, two] = texts[b];
        const wide = Math.min(one.right, two.right) - Math.max(one.left, two.left);
        const high = Math.min(one.bottom, two.bottom) - Math.max(one.top, two.top);
        // Boxes hold the space that letters below and above the line would take.
        if (wide > 1 && high > 2.5) faults.push(`${chart.dataset.chart}: '${text}' lies over '${other}'`);
      }
    }
    const links = chart.parentElement.querySelector('.links')?.getBoundingClientRect();
    for (const [text, box] of texts) {
      if (links && box.right > links.left + 1 && box.top < links.bottom - 2 && box.left < links.right) {
        faults.push(`${chart.dataset.chart}: '${text}' lies under the links`);
      }
    }
  };
  let opened = 0;
  for (let fold = document.querySelector('details:not([open])'); fold && opened < 400; ++opened) {
    fold.open = true;
    const template = fold.querySelector(':scope > template');
    if (template) fold.dispatchEvent(new Event('toggle'));
    expect(!fold.querySelector(':scope > template'), `'${fold.querySelector('summary').textContent}' does not open`);
    fold = document.querySelector('details:not([open])');
  }
  if (kind.startsWith('rows')) {
    const runs = +kind.slice(4);
    expect(opened > runs, `only ${opened} parts to open`);
  }
  let least = 1, charts = 0;
  for (const chart of document.querySelectorAll('svg.chart')) {
    ++charts;
    const [left, top, right, bottom] = chart.dataset.box.split(' ').map(Number);
    const size = chart.getBoundingClientRect().width / chart.viewBox.baseVal.width;
    const card = chart.closest('figure').getBoundingClientRect();
    const share = (right - left) * (bottom - top) * size * size / (card.width * card.height);
    least = Math.min(least, share);
    expect(share >= 0.55, `${chart.dataset.chart}: the plot takes ${(100 * share).toFixed(1)} % of its card`);
    expect(chart.getAttribute('aria-label').length > 40 && /\d/.test(chart.getAttribute('aria-label')), `${chart.dataset.chart}: no numbers in its description`);
    boxesApart(chart);
  }
  expect(charts >= 6, `only ${charts} charts`);
  const titles = new Set([...document.querySelectorAll('svg.chart')].map(chart => chart.dataset.chart));
  expect(titles.size === charts, 'two charts of one name');

  // ---- readings: the nearest series only, its numbers those of the CSV
  const tip = document.getElementById('tip');
  const chart = document.querySelector(kind === 'bench' ? 'svg.chart' : '[data-chart="loss"]');
  const mark = chart.querySelector('.marks > [data-v]');
  const points = mark.querySelector('polyline').getAttribute('points').split(' ').map(pair => pair.split(',').map(Number));
  const place = Math.min(7, points.length - 1);
  chart.scrollIntoView();
  const frame = chart.getBoundingClientRect(), size = frame.width / chart.viewBox.baseVal.width;
  const at = ([x, y]) => ({ clientX: frame.left + x * size, clientY: frame.top + y * size, bubbles: true });
  chart.dispatchEvent(new PointerEvent('pointermove', at(points[place])));
  expect(!tip.hidden, 'no reading under the pointer');
  const lines = tip.innerText.trim().split('\n');
  expect(lines.length === 3, `a reading of ${lines.length} lines`);
  expect(chart.querySelectorAll('.near').length === 1, 'more than one series is near');
  if (kind !== 'bench') {
    const rows = document.getElementById('csv').textContent.trim().split('\n').map(line => line.split(','));
    const x = lines[1].split(' ').pop();
    const told = lines[2].replace(/^loss: /, '').match(/[-+.\de]+/g).map(Number);
    const row = rows.find(each => each[0] === lines[0] && Number(each[1]) === Number(x));
    expect(row, `the CSV has no '${lines[0]}' at ${x}`);
    if (row) {
      const exact = row.slice(2).filter(each => each !== '').map(each => +(+each).toPrecision(5));
      expect(exact.join() === told.join(), `read ${told}, the CSV has ${exact}`);
      if (kind !== 'run') expect(told.length === 3, 'no interval in the reading');
    }
  }

  // ---- keyboard: along the series, and back
  chart.focus();
  const key = name => chart.dispatchEvent(new KeyboardEvent('keydown', { key: name, bubbles: true, cancelable: true }));
  key('Home');
  const home = tip.innerText;
  key('ArrowRight');
  expect(tip.innerText !== home && !tip.hidden, 'the arrow does not move the reading');
  key('ArrowLeft');
  expect(tip.innerText === home, 'the way back reads otherwise');
  key('ArrowDown');
  expect(tip.innerText.split('\n')[0] !== home.split('\n')[0], 'the arrow does not reach the next series');

  // ---- zoom, and out again
  const before = chart.innerHTML.replace(/<circle class="cursor".*?<\/circle>/g, '');
  const from = at([points[2][0], points[2][1]]), to = at([points[points.length - 1][0], points[2][1]]);
  if (kind !== 'bench') {
    chart.dispatchEvent(new PointerEvent('pointerdown', { ...from, pointerType: 'mouse', button: 0 }));
    chart.dispatchEvent(new PointerEvent('pointermove', to));
    chart.dispatchEvent(new PointerEvent('pointerup', to));
    expect(chart.classList.contains('zoomed'), 'dragging does not zoom');
    const wider = mark => mark.querySelector('polyline').getAttribute('points').split(' ').length;
    const zoomedMark = chart.querySelector('.marks > [data-v]');
    expect(wider(zoomedMark) === points.length, 'zooming loses points');
    const ticks = [...chart.querySelectorAll('.axes .tick')].length;
    expect(ticks >= 4, 'no ticks after zooming');
    key('Escape');
    expect(!chart.classList.contains('zoomed'), 'Escape does not zoom out');
    expect(!/NaN/.test(chart.innerHTML), 'NaN in a chart');
  }

  // ---- maps
  if (kind !== 'bench') {
    const canvas = document.querySelector('canvas'), slider = document.getElementById('epoch');
    const look = () => {
      const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
      return { frame: canvas.dataset.frame, epoch: canvas.dataset.epoch, picture: Array.from(pixels).join(),
        label: canvas.getAttribute('aria-label'), live: document.querySelector('.live')?.getAttribute('points'),
        colours: new Set(Array.from({ length: pixels.length / 4 }, (_, i) => pixels.slice(4 * i, 4 * i + 3).join())).size };
    };
    const move = to => { slider.value = to; slider.dispatchEvent(new Event('input')); return look(); };
    const last = look(), birth = move(0), again = move(slider.max);
    expect(last.frame === slider.max, 'does not open on the last frame');
    expect(birth.frame === '0' && birth.epoch === '0', 'the slider does not reach the birth');
    expect(birth.picture !== last.picture && birth.label !== last.label, 'the picture stays the same');
    if (kind === 'run') expect(birth.live !== last.live, 'the trend curve stays the same');
    expect(again.picture === last.picture, 'the way back gives another picture');
    expect(last.colours >= 5, `a picture of ${last.colours} colours`);
    const rows = { run: 1, rows5: 1, rows25: 5, rows100: 20 }[kind];
    expect(document.querySelectorAll('.map canvas').length === rows, 'not a map a row');
  }
  document.title = faults.length
    ? 'FAULT ' + [...new Set(faults)].slice(0, 12).join('; ') + (faults.length > 12 ? ` and ${faults.length - 12} more` : '')
    : `PASSED ${charts} charts, the least plot ${(100 * least).toFixed(1)} % of its card, ${height} px high, ready after ${ready} ms`;
});
