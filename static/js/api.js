// Pages of the API: methods and bodies that a form cannot send. The page of the answer replaces the content.
"use strict";

document.documentElement.classList.add("scripted");

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.dataset.method) return;
  event.preventDefault();
  const method = event.submitter?.dataset.method ?? form.dataset.method;
  const { kind, content, csrfmiddlewaretoken } = form.elements;
  const headers = { Accept: "text/html" };
  if (csrfmiddlewaretoken) headers["X-CSRFToken"] = csrfmiddlewaretoken.value;
  if (kind) headers["Content-Type"] = kind.value;
  const heading = () => document.getElementById("answer");
  try {
    const answer = await fetch(form.action, { method, headers, body: content?.value });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const main = page.getElementById("main");
    if (!main) throw new Error(`${answer.status} ${answer.statusText}`);
    document.title = page.title;
    document.getElementById("main").replaceWith(document.adoptNode(main));
    window.orionTimes?.localise(main);
  } catch (error) {
    heading().textContent = `${method}: ${error.message}`;
  }
  // Move the focus to the answer.
  heading()?.focus();
});
