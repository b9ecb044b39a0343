// Filters the changed questions. Without it the page lists them all.
(function () {
  const form = document.querySelector("form.filters");
  if (!form) return;
  const items = Array.from(document.querySelectorAll("#questions > figure"));
  const shown = document.getElementById("shown");
  const wanted = { right: "01", wrong: "10" };

  function apply() {
    const at = Object.fromEntries(new FormData(form));
    let count = 0;
    for (const item of items) {
      const digits = item.dataset.outcomes;
      const step = digits[at.from] + digits[at.to];
      const fits = (at.change ? step === wanted[at.change] : true)
        && (!at.benchmark || item.dataset.benchmark === at.benchmark)
        && (!at.kind || item.dataset.kind === at.kind);
      item.hidden = !fits;
      count += fits;
    }
    shown.textContent = count + " of " + items.length + " questions";
  }

  form.hidden = false;
  form.addEventListener("change", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-change]");
    if (!link) return;
    for (const name of ["from", "to", "change", "benchmark"]) form.elements[name].value = link.dataset[name];
    form.elements.kind.value = "";
    apply();
  });
  apply();
})();
