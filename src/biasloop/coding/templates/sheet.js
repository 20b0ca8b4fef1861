(function () {
  'use strict';
  var data = JSON.parse(document.getElementById('data').textContent);
  var articles = data.articles, options = data.options;
  var coded = {}, at = 0;

  function part(id) { return document.getElementById(id); }

  function remember() {
    try {
      localStorage.setItem(data.store, JSON.stringify(coded));
    } catch (error) {
      part('kept').textContent =
        'This browser keeps nothing: download the CSV before you close the page.';
    }
  }

  function recall() {
    try {
      var found = JSON.parse(localStorage.getItem(data.store) || '{}');
      articles.forEach(function (article) {
        var label = found[article.id];
        if (options.some(function (option) { return option.label === label; })) {
          coded[article.id] = label;
        }
      });
    } catch (error) { /* nothing is kept here: remember() says so */ }
  }

  function nextOpen(from) {
    for (var step = 1; step <= articles.length; step++) {
      var place = (from + step) % articles.length;
      if (!(articles[place].id in coded)) { return place; }
    }
    return from;
  }

  function show() {
    var article = articles[at], done = Object.keys(coded).length;
    part('place').textContent = (at + 1) + ' of ' + articles.length;
    part('progress').max = articles.length;
    part('progress').value = done;
    part('done').textContent = done + ' coded';
    part('id').textContent = article.id;
    part('text').textContent = article.text;
    Array.prototype.forEach.call(part('options').children, function (button, place) {
      button.setAttribute('aria-pressed', String(coded[article.id] === options[place].label));
    });
  }

  function go(place) {
    at = Math.max(0, Math.min(articles.length - 1, place));
    show();
    window.scrollTo(0, 0);
  }

  function choose(place) {
    if (place >= options.length) { return; }
    coded[articles[at].id] = options[place].label;
    remember();
    go(nextOpen(at));
  }

  function takeBack() {
    delete coded[articles[at].id];
    remember();
    show();
  }

  function cell(text) { return '"' + text.replace(/"/g, '""') + '"'; }

  function csv() {
    var lines = ['coder,id,label'];
    articles.forEach(function (article) {
      if (article.id in coded) {
        lines.push([data.coder, article.id, coded[article.id]].map(cell).join(','));
      }
    });
    return lines.join('\r\n') + '\r\n';
  }

  function download() {
    var link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([csv()], { type: 'text/csv;charset=utf-8' }));
    link.download = data.coder + '-coded.csv';
    link.click();
    setTimeout(function () { URL.revokeObjectURL(link.href); }, 1000);
  }

  options.forEach(function (option, place) {
    var button = document.createElement('button'), name = document.createElement('bdi');
    button.type = 'button';
    if (place < 9) {
      var key = document.createElement('kbd');
      key.textContent = String(place + 1);
      button.appendChild(key);
    }
    name.textContent = option.shown;
    button.appendChild(name);
    button.addEventListener('click', function () { choose(place); button.blur(); });
    part('options').appendChild(button);
  });

  var moves = {
    back: function () { go(at - 1); },
    next: function () { go(at + 1); },
    open: function () { go(nextOpen(at)); },
    clear: takeBack,
    download: download
  };
  Object.keys(moves).forEach(function (id) { part(id).addEventListener('click', moves[id]); });

  var keys = {
    ArrowLeft: moves.back, ArrowRight: moves.next, n: moves.open, Backspace: moves.clear
  };
  document.addEventListener('keydown', function (event) {
    if (event.ctrlKey || event.metaKey || event.altKey) { return; }
    if (/^[1-9]$/.test(event.key)) {
      choose(Number(event.key) - 1);
    } else if (keys[event.key]) {
      keys[event.key]();
    } else {
      return;
    }
    event.preventDefault();
  });

  recall();
  at = articles.length && articles[0].id in coded ? nextOpen(0) : 0;
  if (articles.length) { show(); }
}());
