// Results as one types: the same page as without JavaScript, of which only the results are fetched and replaced.
"use strict";

const PAUSE = 300; // Milliseconds without a key before a search.
const SETTLED = 1500; // Milliseconds on one result list before it counts as what was meant.

const results = document.getElementById("results");
const field = document.querySelector('.bar input[type="search"]') || document.querySelector('input[type="search"]');

function links() {
  return results ? [...results.querySelectorAll(".result h2 a")] : [];
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const typing = event.target.matches("input, textarea, select");
  if (event.key === "/" && !typing && field) {
    event.preventDefault();
    field.focus();
    field.select();
  } else if (results && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
    const all = links();
    const here = all.indexOf(document.activeElement);
    if (here < 0 && event.target !== field) return;
    const next = here + (event.key === "ArrowDown" ? 1 : -1);
    event.preventDefault();
    if (next < 0) field.focus();
    else if (next < all.length) all[next].focus();
  } else if (event.key === "Escape" && results && links().includes(document.activeElement)) {
    field.focus();
  }
});

if (results && field) {
  const form = field.form;
  let timer = 0;
  let settle = 0;
  let running = null;
  let shown = field.value.trim();

  // What an address shows is replaced by what another one does; the addresses are those of the plain links.
  async function show(url, { push = true, scroll = false } = {}) {
    clearTimeout(timer);
    running?.abort();
    const mine = (running = new AbortController());
    results.setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(url, { headers: { "X-Fragment": "results" }, signal: mine.signal });
      const html = await answer.text();
      if (mine.signal.aborted) return;
      if (!answer.headers.get("content-type")?.startsWith("text/html")) throw new Error(answer.statusText);
      results.innerHTML = html;
      shown = new URL(url, location.href).searchParams.get("q") ?? "";
      document.title = (shown ? shown + " · " : "") + results.dataset.name;
      if (push && url !== location.pathname + location.search) {
        // Typing on is one step of history, not one for each letter.
        const typed = history.state?.typed && push === "typed";
        history[typed ? "replaceState" : "pushState"]({ typed: push === "typed" }, "", url);
      }
      if (scroll) window.scrollTo({ top: 0 });
      if (push === "typed") settle = setTimeout(report, SETTLED);
    } catch (error) {
      if (error.name === "AbortError") return;
      const status = document.createElement("p");
      status.id = "status";
      status.className = "status";
      status.setAttribute("role", "status");
      status.textContent = "The search could not be reached. Press Enter to try again.";
      results.replaceChildren(status);
    } finally {
      if (running === mine) results.removeAttribute("aria-busy");
    }
  }

  function report() {
    clearTimeout(settle);
    settle = 0;
    const status = results.querySelector("#status");
    if (!shown || !status?.dataset.found) return;
    const body = JSON.stringify({ query: shown, found: status.dataset.found === "yes" });
    fetch(`/searches?site=${results.dataset.site}`, {
      method: "POST", body, keepalive: true, headers: { "Content-Type": "application/json" },
    }).catch(() => {});
  }

  function address() {
    const parameters = new URLSearchParams(new FormData(form));
    parameters.set("q", field.value.trim());
    return `${form.getAttribute("action")}?${parameters}`;
  }

  field.addEventListener("input", () => {
    clearTimeout(timer);
    clearTimeout(settle);
    settle = 0;
    if (field.value.trim() === shown) return;
    timer = setTimeout(() => show(address(), { push: "typed" }), PAUSE);
  });

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    show(address()).then(report);
  });

  results.addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    if (link.closest(".result")) {
      if (settle) report();
      return;
    }
    const url = new URL(link.href);
    if (url.origin !== location.origin || url.pathname !== "/search" || link.hasAttribute("download")) return;
    event.preventDefault();
    adopt(url.searchParams);
    show(url.pathname + url.search, { scroll: true }).then(() => results.querySelector("#status")?.scrollIntoView({ block: "nearest" }));
  });

  // The field and the form's filter follow the address.
  function adopt(parameters) {
    field.value = parameters.get("q") ?? "";
    let since = form.elements.namedItem("since");
    if (parameters.get("since")) {
      if (!since) {
        since = Object.assign(document.createElement("input"), { type: "hidden", name: "since" });
        form.prepend(since);
      }
      since.value = parameters.get("since");
    } else {
      since?.remove();
    }
  }

  window.addEventListener("popstate", () => {
    adopt(new URLSearchParams(location.search));
    show(location.pathname + location.search, { push: false });
  });
}
