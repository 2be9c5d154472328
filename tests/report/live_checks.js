// Stands in for the server of a live page: three events, each with a page of its own, then the end. What the page made of
// them is in the title.
const listeners = {};
window.EventSource = class {
  static CLOSED = 2;
  constructor(address) { this.address = address; }
  addEventListener(name, act) { listeners[name] = act; }
  close() { this.closed = true; }
};
let fetched = 0;
window.fetch = async () => {
  ++fetched;
  const main = document.querySelector('main').innerHTML.replace(/ data-version="\d+"/, '');
  return { text: async () => `<html><head><title>version ${fetched}</title></head><body><main><p data-version="${fetched}"></p>${main}</main>` +
    `<script type="application/json" id="data">${document.getElementById('data').textContent}</scr` + 'ipt></body></html>' };
};
const version = () => document.querySelector('[data-version]')?.dataset.version;
addEventListener('load', async () => {
  const faults = [];
  const after = milliseconds => new Promise(done => setTimeout(done, milliseconds));
  document.querySelector('details').open = true;
  listeners.progress({ data: 'epoch 1 of 3' });
  await after(100);
  if (version() !== '1') faults.push('the first event changes nothing');
  if (document.getElementById('live').textContent !== 'Running: epoch 1 of 3') faults.push('it does not say how far the run is');
  if (!document.querySelector('details').open) faults.push('what was open is closed');
  listeners.progress({ data: 'epoch 2 of 3' });
  listeners.progress({ data: 'epoch 3 of 3' });
  await after(1900);
  if (fetched !== 2) faults.push(`two events at once make ${fetched - 1} fetches`);
  listeners.end({ data: 'epoch 3 of 3' });
  await after(100);
  if (document.body.dataset.ended !== 'yes' || fetched !== 3) faults.push('the end is not shown at once');
  if (!document.querySelector('svg.chart') || !document.querySelector('canvas').dataset.frame) faults.push('charts or maps are lost');
  document.title = faults.length ? 'FAULT ' + faults.join('; ') : 'PASSED ' + document.title;
});
