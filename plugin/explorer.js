// GlioLoop on the page of a study in Orthanc Explorer 1 (jQuery 1.7, jQuery Mobile 1.1).
// What comes from DICOM files or from the node is set by text(), never as markup.

(function () {
  'use strict';

  var NODE = '../glioloop';
  var DASHBOARD = NODE + '/app/';
  var ACTIVE = { queued: true, running: true };
  var STATES = { queued: 'Waiting', running: 'Running', done: 'Done', refused: 'Refused', failed: 'Failed', cancelled: 'Cancelled' };
  var STAGES = {
    identify: 'identifying series', load: 'loading images', align: 'aligning sequences', infer: 'delineating',
    restore: 'bringing contours back', write: 'writing objects', store: 'storing', forward: 'forwarding'
  };

  var parts = null;
  var timer = null;
  var study = null;
  var viewer = '';
  var structureSet = '';

  function entry(id, label, icon, run) {
    var link = $('<a>').attr({ href: '#', id: id }).text(label);
    link.click(function (event) {
      event.preventDefault();
      event.stopImmediatePropagation();
      run();
    });
    return $('<li>').attr('data-icon', icon).append(link);
  }

  function build() {
    parts = {
      segment: entry('glioloop-segment', 'Segment tumour', 'star', function () { start({}); }),
      reprocess: entry('glioloop-reprocess', 'Reprocess…', 'refresh', toggle),
      dashboard: entry('glioloop-dashboard', 'Open in dashboard', 'grid', function () { window.location = DASHBOARD + '#/studies/' + study; }),
      viewer: entry('glioloop-viewer', 'Open in viewer', 'search', function () { window.open(viewer.replace('{rtstruct}', structureSet), '_blank', 'noopener'); }),
      state: $('<p>').attr({ id: 'glioloop-state', role: 'status', 'aria-live': 'polite' }).css({ 'white-space': 'normal', 'font-size': '13px', margin: '4px 0' }),
      detail: $('<p>').attr('id', 'glioloop-detail').css({ 'white-space': 'normal', 'font-weight': 'normal', 'font-size': '12px', margin: '4px 0' }),
      preview: $('<img>').attr({ id: 'glioloop-preview', alt: 'Result with its contours' }).css({ 'max-width': '100%', 'margin-top': '6px', background: '#000', display: 'none', cursor: 'pointer' }),
      model: $('<select>').attr({ id: 'glioloop-model', 'data-role': 'none', 'aria-label': 'Network' }).css({ width: '100%', margin: '4px 0' }),
      go: $('<button>').attr({ type: 'button', id: 'glioloop-start', 'data-role': 'none' }).text('Start')
    };
    parts.preview.click(function () { window.location = DASHBOARD + '#/studies/' + study; });
    parts.go.click(function () {
      parts.choice.hide();
      start({ force: true, model: parts.model.val() });
    });
    parts.choice = $('<li>').attr('id', 'glioloop-choice').append($('<label>').text('Network').append(parts.model), parts.go).hide();
    var box = $('<ul>').attr({ id: 'glioloop', 'data-role': 'listview', 'data-inset': 'true', 'data-theme': 'd', 'data-divider-theme': 'c' });
    box.append($('<li>').attr('data-role', 'list-divider').text('Tumour contours (GlioLoop)'),
      // In a <div>: jQuery Mobile makes a thumbnail of a picture that lies directly in the entry.
      $('<li>').append($('<div>').append(parts.state, parts.detail, parts.preview)),
      parts.segment, parts.reprocess, parts.choice, parts.dashboard, parts.viewer);
    box.insertAfter('#study-info');
  }

  function ask(method, path, body, done) {
    $.ajax({
      url: NODE + path, type: method, dataType: 'json', cache: false, contentType: 'application/json',
      data: method === 'POST' ? JSON.stringify(body) : undefined,
      success: done,
      error: function (answer) {
        var error = null;
        try { error = JSON.parse(answer.responseText).error; } catch (_) { /* not from the node */ }
        showError(error || { message: 'The node does not answer.', detail: '' });
      }
    });
  }

  function start(options) {
    var asked = study;
    parts.state.text('Asking…');
    parts.detail.text('');
    ask('POST', '/studies/' + asked + '/process', options, function () { refresh(); });
  }

  function toggle() {
    if (parts.choice.is(':visible')) {
      parts.choice.hide();
      return;
    }
    ask('GET', '/models', null, function (models) {
      parts.model.empty();
      $.each(models, function (_, card) {
        parts.model.append($('<option>').attr('value', card.identity).text(card.identity + (card.current ? ' (in use)' : '')));
        if (card.current) parts.model.val(card.identity);
      });
      parts.choice.show();
    });
  }

  function showError(error) {
    parts.state.text(error.message);
    parts.detail.text([error.detail, error.hint].filter(Boolean).join(' '));
  }

  function show(job, result) {
    var had = !!job;
    parts.segment.toggle(!had || (!ACTIVE[job.state] && !result));
    parts.reprocess.toggle(had);
    parts.viewer.toggle(viewer !== '');
    if (!had) {
      parts.state.text('Not processed.');
      parts.detail.text('');
    } else if (ACTIVE[job.state]) {
      var stage = STAGES[job.stage] ? ': ' + STAGES[job.stage] : '';
      parts.state.text(STATES[job.state] + stage + (job.progress ? ' ' + Math.round(job.progress * 100) + ' %' : ''));
      parts.detail.text('');
    } else if (job.error) {
      showError({ message: STATES[job.state] + ': ' + job.error.message, detail: job.error.detail, hint: job.error.hint });
    } else {
      parts.state.text(outcome(job));
      parts.detail.text(flags(job));
    }
    structureSet = result && result.result.rtstruct ? result.result.rtstruct.series_instance_uid : '';
    if (result) {
      var source = NODE + '/jobs/' + result.id + '/preview.png';
      if (parts.preview.attr('src') !== source) parts.preview.attr('src', source);
      parts.preview.show();
    } else {
      parts.preview.hide();
    }
  }

  function outcome(job) {
    var volumes = job.result ? job.result.volumes_ml : {};
    var cavity = 'cavity' in volumes ? ', cavity ' + volumes.cavity.toFixed(1) + ' ml' : '';
    if (!job.result || !job.result.tumour_found) return STATES[job.state] + ': no tumour found by the network' + cavity + '.';
    return STATES[job.state] + ': ' + $.map(['WT', 'TC', 'ET'], function (region) { return region + ' ' + volumes[region].toFixed(1) + ' ml'; }).join(', ') + cavity;
  }

  function flags(job) {
    var words = $.map(job.result.flags || [], function (flag) { return '⚑ ' + flag.message; });
    return $.grep(words, function (word, place) { return $.inArray(word, words) === place; }).concat('Automatic, not approved. Research use only.').join(' ');
  }

  function refresh() {
    clearTimeout(timer);
    var asked = study;
    if (!asked) return;
    ask('GET', '/jobs?study=' + asked + '&limit=20', null, function (jobs) {
      if (asked !== study) return;
      var results = $.grep(jobs, function (job) { return job.result; });
      show(jobs[0], results[0]);
      timer = setTimeout(refresh, jobs[0] && ACTIVE[jobs[0].state] ? 1000 : 5000);
    });
  }

  function findViewer(asked) {
    $.getJSON('../studies/' + asked, function (record) {
      // Health answers 503 where the node is unwell, with the same content.
      $.ajax({ url: NODE + '/health', dataType: 'json', complete: function (answer) {
        var template = '';
        try { template = JSON.parse(answer.responseText).viewer || ''; } catch (_) { /* no node */ }
        if (asked === study) viewer = template.replace('{study}', encodeURIComponent(record.MainDicomTags.StudyInstanceUID));
      } });
    });
  }

  $('#study').live('pagebeforecreate', build);

  $('#study').live('pagebeforeshow', function () {
    study = $.mobile.pageData && /^[0-9a-f-]{44}$/.test($.mobile.pageData.uuid) ? $.mobile.pageData.uuid : null;
    viewer = '';
    parts.choice.hide();
    parts.preview.hide().removeAttr('src');
    parts.viewer.hide();
    if (study) {
      findViewer(study);
      refresh();
    }
  });

  $('#study').live('pagehide', function () {
    study = null;
    clearTimeout(timer);
  });
})();
