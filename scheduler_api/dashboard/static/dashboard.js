// Shows times in the browser's zone, refreshes live parts, asks before dangerous forms.
"use strict";

const REFRESH_MS = 5000;
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

function showLocalTimes(root) {
  for (const element of root.querySelectorAll("time[datetime]:not([title])")) {
    const moment = new Date(element.dateTime);
    element.title = `${element.textContent} · shown in ${zone}`;
    element.textContent = moment.toLocaleString("sv-SE");
  }
}

// Replaces each element with the attribute data-live by that of a new copy of the page.
// Elements that contain the focus or selected text stay as they are.
async function refresh() {
  const response = await fetch(location.href, { headers: { "Dashboard-Refresh": "1" } });
  if (response.status === 401) {
    location.reload();
    return;
  }
  if (!response.ok) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const copies = page.querySelectorAll("[data-live]");
  document.querySelectorAll("[data-live]").forEach((element, number) => {
    const copy = copies[number];
    const used = element.contains(document.activeElement) && document.activeElement !== element;
    if (copy && !used && document.getSelection().isCollapsed) {
      showLocalTimes(copy);
      for (const open of element.querySelectorAll("details[open][id]")) {
        copy.querySelector(`#${open.id}`)?.setAttribute("open", "");
      }
      element.replaceChildren(...copy.childNodes);
    }
  });
}

async function refreshForever() {
  for (;;) {
    await new Promise((done) => setTimeout(done, REFRESH_MS));
    if (document.hidden) continue;
    try {
      await refresh();
      document.body.classList.remove("offline");
    } catch {
      document.body.classList.add("offline");
    }
  }
}

document.addEventListener("submit", (event) => {
  const question = event.target.dataset.confirm;
  if (question && !confirm(question)) event.preventDefault();
});

document.addEventListener("click", async (event) => {
  const element = event.target.closest("[data-copy]");
  if (!element) return;
  await navigator.clipboard.writeText(element.textContent);
  element.classList.add("copied");
});

showLocalTimes(document);
if (document.querySelector("[data-live]")) refreshForever();

// Fetches the preview of a form again after each change of a field.
const PREVIEW_MS = 300;
const PREVIEWED = ["when", "delay", "at", "expression", "zone", "retries"];
let previewAt = 0;

async function showPreview(form) {
  const values = new FormData(form);
  const query = new URLSearchParams(PREVIEWED.map((name) => [name, values.get(name) ?? ""]));
  const response = await fetch(`${form.dataset.preview}?${query}`);
  if (!response.ok) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  showLocalTimes(page);
  document.getElementById("preview").replaceChildren(...page.body.childNodes);
}

document.addEventListener("input", (event) => {
  const form = event.target.form;
  if (!form?.dataset.preview || !PREVIEWED.includes(event.target.name)) return;
  clearTimeout(previewAt);
  previewAt = setTimeout(() => showPreview(form).catch(() => {}), PREVIEW_MS);
});
