// Light or dark: as the system has it, until the person says otherwise; `first-paint.js` applies the choice early.

export function flipTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("inspector.theme", root.dataset.theme);
}
