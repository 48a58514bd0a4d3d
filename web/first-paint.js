// Runs before the page is drawn, so that a chosen theme does not flash: no module, for modules wait for the document.
{
  const theme = localStorage.getItem("inspector.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
}
