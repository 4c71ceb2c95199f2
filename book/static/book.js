// What the theme leaves to a book: names for its arrows, and lists that are none.

document.addEventListener("DOMContentLoaded", () => {
  // The arrow beside a page of the sidebar has no text.
  for (const summary of document.querySelectorAll("nav details > summary")) {
    const link = summary.closest("li")?.querySelector("a");
    summary.setAttribute("aria-label", `Pages under ${link ? link.textContent.trim() : "this"}`);
  }
  // Sphinx lays the parameters of long signatures out as definitions without terms.
  for (const list of document.querySelectorAll(".sig dl")) {
    list.setAttribute("role", "none");
    for (const item of list.children) item.setAttribute("role", "none");
  }
  // What scrolls inside itself must be reached by the keyboard.
  const wide = ".bd-article table, .bd-article .output.text_html, .bd-article pre";
  const reach = () => {
    for (const part of document.querySelectorAll(wide)) {
      if (part.scrollWidth > part.clientWidth) part.tabIndex = 0;
    }
  };
  reach();
  window.addEventListener("load", reach);
  window.addEventListener("resize", reach);
});
