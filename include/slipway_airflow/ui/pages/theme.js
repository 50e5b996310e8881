(() => {
  const follow = () => {
    let theme = null;
    try { theme = localStorage.getItem("theme"); } catch { /* storage is switched off: the system's theme it is */ }
    if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
  };
  follow();
  addEventListener("storage", follow);
})();
