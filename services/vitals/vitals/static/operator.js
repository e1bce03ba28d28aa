// The page as it stands, every few seconds: a section is replaced only where it changed and nobody is using it.
"use strict";

const overview = document.querySelector("[data-overview]");
const refreshing = document.querySelector("[data-refreshing]");
const refreshed = document.querySelector("[data-refreshed]");
const said = document.querySelector("[data-said]");

const EVERY = 4000;
const LONGEST = 60000;
let delay = EVERY;
let timer = 0;
let asking = false;

function replace(section, fresh) {
  // The time that has passed is all that differs most of the time; still it must be seen to pass.
  if (section.isEqualNode(fresh)) return;
  if (section.contains(document.activeElement) && section.querySelector("button:focus, summary:focus")) return;
  for (const kept of section.querySelectorAll("details[data-keep][open]")) {
    fresh.querySelector(`details[data-keep="${kept.dataset.keep}"]`)?.setAttribute("open", "");
  }
  section.replaceWith(fresh);
}

function show(html, force) {
  const parsed = new DOMParser().parseFromString(html, "text/html");
  if (force) document.activeElement?.blur();
  for (const fresh of [...parsed.querySelectorAll("section[id]")]) {
    const section = document.getElementById(fresh.id);
    if (section) replace(section, fresh);
  }
}

async function ask(force = false) {
  if (asking && !force) return;
  asking = true;
  clearTimeout(timer);
  try {
    const answer = await fetch("/operator", {
      headers: { "x-fragment": "overview" }, signal: AbortSignal.timeout(10000),
    });
    if (answer.status === 401) {
      location.reload();
      return;
    }
    if (!answer.ok) throw new Error(String(answer.status));
    show(await answer.text(), force);
    refreshing.classList.remove("away");
    refreshed.textContent = "Refreshes by itself";
    delay = EVERY;
  } catch {
    refreshing.classList.add("away");
    refreshed.textContent = "Out of reach; trying again";
    delay = Math.min(delay * 2, LONGEST);
  } finally {
    asking = false;
    if (!document.hidden) timer = setTimeout(ask, delay);
  }
}

async function act(form, button) {
  const section = form.closest("section");
  button.disabled = true;
  try {
    const answer = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) });
    const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
    said.textContent = answer.ok
      ? parsed.querySelector("[data-said]")?.textContent ?? "Done."
      : "That did not work. Load the page again and repeat it.";
  } catch {
    said.textContent = "The service is out of reach; nothing may have been done.";
  }
  button.disabled = false;
  await ask(true);
  // The button may be gone; whoever uses the keyboard goes on from its section.
  const place = document.getElementById(section.id);
  place?.setAttribute("tabindex", "-1");
  place?.focus({ preventScroll: true });
}

overview.addEventListener("submit", (event) => {
  const form = event.target.closest("form[data-act]");
  if (!form) return;
  event.preventDefault();
  act(form, event.submitter ?? form.querySelector("button"));
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(timer);
  else ask();
});
if (location.search) history.replaceState(null, "", "/operator");
timer = setTimeout(ask, delay);
