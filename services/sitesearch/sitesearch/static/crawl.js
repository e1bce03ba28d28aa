// A crawl as it goes, by server-sent events; the browser reconnects by itself, and the page loads anew at the end.
"use strict";

const panel = document.querySelector("[data-events]");

if (panel) {
  const bar = panel.querySelector("[data-bar]");
  const said = panel.querySelector("[data-said]");
  const number = new Intl.NumberFormat("en");
  let failures = 0;
  let lastSaid = 0;

  function duration(seconds) {
    const whole = Math.floor(seconds);
    if (whole < 60) return `${whole} s`;
    if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
    return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  }

  function show(progress) {
    const figures = { ...progress, left_out: progress.refused + progress.skipped };
    for (const figure of panel.querySelectorAll("[data-figure]")) {
      const name = figure.dataset.figure;
      figure.textContent = name === "seconds" ? duration(figures[name]) : number.format(figures[name]);
    }
    bar.max = Math.max(progress.found, 1);
    bar.value = progress.done;
    if (Date.now() - lastSaid > 10000) {
      lastSaid = Date.now();
      said.textContent = `${number.format(progress.pages)} pages, ${number.format(progress.waiting)} waiting`;
    }
  }

  const events = new EventSource(panel.dataset.events);
  events.addEventListener("open", () => { failures = 0; });
  events.addEventListener("progress", (event) => show(JSON.parse(event.data)));
  events.addEventListener("end", () => {
    events.close();
    location.reload();
  });
  events.addEventListener("error", () => {
    failures += 1;
    if (failures < 5 && events.readyState !== EventSource.CLOSED) return;
    events.close();
    setTimeout(() => location.reload(), 5000);
  });
  window.addEventListener("pagehide", () => events.close());
}
