"use strict";
// Two tools: a filter over the persons and a jump to a query. The page is whole without them.
(() => {
  const people = [...document.querySelectorAll("[data-person]")];
  const tools = document.querySelector("#filter");
  if (tools && people.length) {
    tools.hidden = false;
    const [text, camera, reason, shown] = ["text", "camera", "reason", "shown"].map((name) =>
      tools.querySelector(`[name=${name}]`));
    const apply = () => {
      const words = text.value.trim().toLowerCase();
      let n = 0;
      for (const item of people) {
        const reasons = JSON.parse(item.dataset.reasons);
        const fits = item.dataset.text.toLowerCase().includes(words)
          && (!camera.value || item.dataset.camera === camera.value)
          && (!reason.value || (reason.value === "any" ? reasons.length > 0
            : reasons.includes(reason.value.slice(2))));
        item.hidden = !fits;
        n += fits;
      }
      shown.value = `${n} of ${people.length} shown`;
    };
    tools.addEventListener("submit", (event) => event.preventDefault());
    tools.addEventListener("input", apply);
    tools.addEventListener("reset", () => setTimeout(apply));
    apply();
  }
  const jump = document.querySelector("#jump");
  if (jump) {
    jump.hidden = false;
    jump.querySelector("select").addEventListener("change", (event) => {
      const target = document.getElementById(event.target.value);
      document.querySelectorAll(".query.found").forEach((item) => item.classList.remove("found"));
      if (!target) return;
      target.classList.add("found");
      target.scrollIntoView({ block: "start" });
      target.focus({ preventScroll: true });
    });
  }
})();
