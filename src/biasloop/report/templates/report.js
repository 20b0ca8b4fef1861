(function () {
  "use strict";
  var figures = JSON.parse(document.getElementById("figure-data").textContent);
  var settings = {
    responsive: true,
    displaylogo: false,
    displayModeBar: false,
    typesetMath: false
  };
  var boxes = Array.prototype.slice.call(document.querySelectorAll("[data-figure]"));
  boxes.forEach(function (box) {
    var figure = figures[box.getAttribute("data-figure")];
    Plotly.newPlot(box, figure.data, figure.layout, settings);
  });
  // Not every browser lays out what is folded: its figures were drawn without knowing their width.
  document.addEventListener("toggle", function (event) {
    if (!event.target.open) { return; }
    boxes.forEach(function (box) {
      if (event.target.contains(box)) { Plotly.Plots.resize(box); }
    });
  }, true);
  var buttons = Array.prototype.slice.call(document.querySelectorAll("button[data-line]"));
  buttons.forEach(function (button) {
    button.addEventListener("click", function () {
      var line = button.getAttribute("data-line");
      var on = button.getAttribute("aria-pressed") !== "true";
      buttons.forEach(function (other) {
        if (other.getAttribute("data-line") === line) {
          other.setAttribute("aria-pressed", String(on));
        }
      });
      boxes.forEach(function (box) {
        var traces = [];
        box.data.forEach(function (trace, index) {
          if (trace.legendgroup === line) { traces.push(index); }
        });
        if (traces.length) { Plotly.restyle(box, { visible: on }, traces); }
      });
    });
  });
  document.documentElement.setAttribute("data-drawn", String(boxes.length));
})();
