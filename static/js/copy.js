// Buttons that copy a line. Without scripts they stay hidden, and the line is selected by a click.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const words = button.textContent;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(button.previousElementSibling);
    button.textContent = "Selected";
  }
  setTimeout(() => (button.textContent = words), 1500);
});
const show = () => document.querySelectorAll("[data-copy][hidden]").forEach((button) => (button.hidden = false));
show();
new MutationObserver(show).observe(document.body, { childList: true, subtree: true });
