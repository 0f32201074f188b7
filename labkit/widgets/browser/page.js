// A view whose whole picture is HTML from the kernel.

const page = ({ model, el }) => {
  const box = document.createElement("div");
  el.append(box);
  const draw = () => {
    const fresh = parse(model.get("html"));
    if (!fresh) return;
    if (box.firstElementChild) patch(box.firstElementChild, fresh);
    else box.append(fresh);
    box.dispatchEvent(new CustomEvent("drawn", { bubbles: true }));
  };
  draw();
  model.on("change:html", draw);
  buttons(model, el);
  const end = lease(model, el);
  return () => {
    end();
    model.off("change:html", draw);
  };
};
