/* Draws the plots of a page in the colours of its theme. The data stand in the page as
   JSON; names and labels in them are text, so plotly's own mark-up is escaped. */
"use strict";

(() => {
  const DASHES = ["solid", "dash", "dot", "dashdot", "longdash"];
  const HATCHES = ["", "/", "x", ".", "-"];
  const SYMBOLS = {
    ours: "circle", baseline: "square", peer: "diamond", paper: "triangle-up", bound: "x-thin-open",
  };
  const FEW = 40; // points up to which a line also shows its points
  const narrow = () => document.documentElement.clientWidth < 640;
  const touch = window.matchMedia("(pointer: coarse)").matches;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  const escape = (text) =>
    String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

  /* A legend cannot break a name that is wider than the plot. */
  const short = (text) => {
    const room = Math.floor((document.documentElement.clientWidth - 130) / 7.5);
    return text.length > room ? text.slice(0, room - 1) + "…" : text;
  };

  const theme = () => {
    const style = getComputedStyle(document.documentElement);
    return (name) => style.getPropertyValue("--" + name).trim();
  };

  const axis = (colour, label, log) => ({
    title: { text: escape(label), font: { size: 13 }, standoff: 10 },
    type: log ? "log" : undefined,
    exponentformat: "power",
    showexponent: "all",
    gridcolor: colour("faint"),
    linecolor: colour("rule"),
    zerolinecolor: colour("rule"),
    tickfont: { size: log ? 11 : 12, color: colour("muted") }, // powers grow by a quarter
    ticks: "outside",
    tickcolor: colour("rule"),
    ticklen: 4,
    showline: true,
    automargin: true,
  });

  const layout = (data, colour) => ({
    font: { family: getComputedStyle(document.body).fontFamily, color: colour("ink"), size: 13 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 12, r: 14, t: 28, b: 12 },
    dragmode: touch ? false : "zoom",
    hovermode: "closest",
    uirevision: "kept", // a zoom survives a change of width or theme
    hoverlabel: {
      bgcolor: colour("panel"), bordercolor: colour("rule"),
      font: { color: colour("ink") }, namelength: -1,
    },
    modebar: {
      bgcolor: "rgba(0,0,0,0)", color: colour("muted"), activecolor: colour("ink"),
    },
    xaxis: axis(colour, data.x_label, data.x_log),
    yaxis: axis(colour, data.y_label, data.y_log),
  });

  const scale = (colour) => {
    const stops = dark.matches
      ? ["#14171a", "#23415c", "#3679ad", "#7fc1f0", "#f3f8fc"]
      : ["#f3f7fb", "#b7d3ea", "#5f9fd0", "#1d6aa8", "#062a4a"];
    return stops.map((stop, index) => [index / (stops.length - 1), stop]);
  };

  const trace = (series, nth, colour) => {
    const shade = colour(series.role);
    const found = { x: series.x, y: series.y, name: escape(short(series.name)), hoverinfo: "x+y+name" };
    if (series.style === "bars") {
      const pattern = { shape: HATCHES[nth % HATCHES.length], fillmode: "replace", fgcolor: shade };
      return { ...found, type: "bar", marker: { color: shade, pattern } };
    }
    const dashed = series.style === "dashed";
    const dots = series.style === "markers" || (!dashed && series.x.length <= FEW);
    return {
      ...found,
      type: "scatter",
      mode: series.style === "markers" ? "markers" : dots ? "lines+markers" : "lines",
      line: {
        color: shade, width: series.role === "ours" ? 2.4 : 1.8,
        dash: DASHES[(nth + (dashed ? 1 : 0)) % DASHES.length],
      },
      marker: {
        color: shade, size: series.style === "markers" ? 8 : 6,
        symbol: SYMBOLS[series.role] + (nth % 2 && series.role !== "bound" ? "-open" : ""),
        line: { width: 1.2, color: shade },
      },
    };
  };

  const xy = (data, colour) => {
    const seen = {};
    const traces = data.series.map((series) => {
      const key = series.role + (series.style === "bars");
      seen[key] = (seen[key] ?? -1) + 1;
      return trace(series, seen[key], colour);
    });
    const figure = layout(data, colour);
    figure.showlegend = traces.length > 1;
    figure.legend = {
      orientation: "h", x: 0, xanchor: "left", yref: "container", y: 0, yanchor: "bottom",
      bgcolor: "rgba(0,0,0,0)", font: { size: 12.5 },
    };
    figure.height = 380 + (narrow() ? 22 * Math.max(0, traces.length - 1) : 0);
    return { traces, figure };
  };

  /* Same length for a row and a column, unless the matrix is too long for that. */
  const matrix = (figure, element, rows, columns, spare) => {
    const square = rows / columns < 3 && columns / rows < 5;
    figure.width = element.clientWidth;
    figure.height = square ? Math.round(Math.max(180, (figure.width - spare) * rows / columns)) + 80 : 380;
    figure.yaxis.autorange = "reversed";
    figure.xaxis.showgrid = figure.yaxis.showgrid = false;
    figure.xaxis.zeroline = figure.yaxis.zeroline = false;
    figure.xaxis.constrain = figure.yaxis.constrain = "domain";
    figure.xaxis.mirror = figure.yaxis.mirror = true;
    if (square) figure.yaxis.scaleanchor = "x";
    return figure;
  };

  const cells = (z, colour, title) => ({
    type: "heatmap", z, colorscale: scale(colour), hoverongaps: false, name: "",
    colorbar: {
      thickness: 12, outlinewidth: 0, len: 0.9, title: { text: title, side: "right" },
      tickfont: { color: colour("muted") }, exponentformat: "power",
    },
  });

  const heatmap = (data, colour, element) => {
    const figure = layout(data, colour);
    matrix(figure, element, data.z.length, data.z.length ? data.z[0].length : 1, 130);
    return { traces: [cells(data.z, colour, "")], figure };
  };

  const pattern = (data, colour, element) => {
    const figure = layout({ ...data, x_label: data.x_label || "column", y_label: data.y_label || "row" }, colour);
    const [rows, columns] = data.shape;
    matrix(figure, element, rows, columns, data.block ? 130 : 70);
    Object.assign(figure.xaxis, { range: [-0.5, columns - 0.5], autorange: false });
    Object.assign(figure.yaxis, { range: [rows - 0.5, -0.5], autorange: false });
    if (data.block) {
      const counts = cells(data.z, colour, "nonzeros");
      Object.assign(counts, { x0: (data.block - 1) / 2, dx: data.block, y0: (data.block - 1) / 2, dy: data.block });
      return { traces: [counts], figure };
    }
    const markers = {
      type: "scatter", mode: "markers", x: data.columns, y: data.rows, name: "", cliponaxis: true,
      hovertemplate: "row %{y}, column %{x}<extra></extra>",
      marker: { symbol: "square", color: colour("ours"), size: 3, line: { width: 0 } },
    };
    return { traces: [markers], figure };
  };

  const draw = { xy, heatmap, pattern };

  /* A marker is as large as its cell, so that zooming in shows single entries. */
  const fit = (element) => {
    const { xaxis, yaxis } = element._fullLayout;
    const pixels = Math.min(Math.abs(xaxis._length / (xaxis.range[1] - xaxis.range[0])),
      Math.abs(yaxis._length / (yaxis.range[1] - yaxis.range[0])));
    const size = Math.max(1.6, Math.min(22, 0.92 * pixels));
    if (Math.abs(element.data[0].marker.size - size) < 0.05) return undefined;
    return Plotly.restyle(element, { "marker.size": size });
  };

  const show = async (element, data) => {
    const { traces, figure } = draw[data.kind](data, theme(), element);
    const config = {
      responsive: data.kind === "xy", displaylogo: false, displayModeBar: touch ? true : "hover",
      modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
    };
    await Plotly.react(element, traces, figure, config);
    if (data.kind !== "pattern" || data.block) return;
    await fit(element);
    if (element.dataset.fitted) return;
    element.dataset.fitted = "yes";
    element.on("plotly_relayout", () => fit(element));
  };

  const all = [...document.querySelectorAll("script[data-plot]")].map((script) => ({
    element: document.getElementById(script.dataset.plot),
    data: JSON.parse(script.textContent),
  }));

  const render = async () => {
    for (const { element, data } of all) {
      try {
        if (typeof Plotly === "undefined") throw new Error("assets/plotly.min.js is not beside this page");
        await show(element, data);
        element.dataset.drawn = "yes";
      } catch (error) {
        element.classList.add("failed");
        element.textContent = "This plot could not be drawn: " + error.message;
      }
    }
  };

  let waiting;
  let width = document.documentElement.clientWidth;
  window.addEventListener("resize", () => {
    if (document.documentElement.clientWidth === width) return;
    width = document.documentElement.clientWidth;
    clearTimeout(waiting);
    waiting = setTimeout(render, 150);
  });
  dark.addEventListener("change", render);
  render();
})();
