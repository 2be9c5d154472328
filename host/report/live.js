// A page that follows a run: an event says that there is more to show, the page fetches itself and takes over what
// changed. What is open stays open.
(() => {
  const label = document.getElementById('live');
  let wanted = false, busy = false;
  const refresh = async () => {
    if (busy) { wanted = true; return; }
    busy = true;
    try {
      const text = await (await fetch('/')).text();
      const fresh = new DOMParser().parseFromString(text, 'text/html');
      const open = new Set([...document.querySelectorAll('details[open] > summary')].map(each => each.textContent));
      const moment = document.getElementById('epoch');
      const place = moment && moment.value !== moment.max ? moment.value : null;
      charts.hush();
      document.querySelector('main').replaceWith(document.adoptNode(fresh.querySelector('main')));
      document.getElementById('data').textContent = fresh.getElementById('data').textContent;
      document.title = fresh.title;
      reportPage.start();
      for (const summary of document.querySelectorAll('details > summary')) {
        if (open.has(summary.textContent)) summary.parentElement.open = true;
      }
      const slider = document.getElementById('epoch');
      if (place !== null && slider) { slider.value = place; slider.dispatchEvent(new Event('input')); }
      document.body.dataset.updates = +(document.body.dataset.updates || 0) + 1;
    } catch { /* the run has ended and its server with it; what is shown stays */ }
    // A page a second is enough to look at, and leaves the machine to the run.
    if (!document.body.dataset.ended) await new Promise(done => setTimeout(done, 1000));
    busy = false;
    if (wanted) { wanted = false; refresh(); }
  };
  const events = new EventSource('/events');
  events.addEventListener('progress', event => { label.textContent = 'Running: ' + event.data; refresh(); });
  events.addEventListener('end', event => {
    events.close();
    label.textContent = 'Ended: ' + event.data;
    document.body.dataset.ended = 'yes';
    wanted = false;
    busy = false;  // at once: the server waits for this
    refresh();
  });
  events.onerror = () => {
    if (events.readyState === EventSource.CLOSED || document.body.dataset.ended) return;
    events.close();
    label.textContent = 'Ended: the program no longer answers';
    document.body.dataset.ended = 'yes';
  };
})();
