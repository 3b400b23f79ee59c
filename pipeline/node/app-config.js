// OHIF's configuration for an Orthanc that serves it at /ohif/ and DICOMweb at /dicom-web (same origin, same login).

// Contours are read-only until somebody asks to edit them, which is OHIF's mode "Segmentation" (/ohif/segmentation). Its
// other modes say that editing is off and leave the tool that draws contours listening: a slip of the mouse changes them.
const readOnly = {
  id: 'glioloop.read-only',
  preRegistration: ({ servicesManager }) => {
    window.cornerstone.eventTarget.addEventListener('CORNERSTONE_TOOLS_TOOLGROUP_VIEWPORT_ADDED', ({ detail }) => {
      if (servicesManager.services.customizationService.getCustomization('panelSegmentation.disableEditing')) {
        window.cornerstoneTools.ToolGroupManager.getToolGroup(detail.toolGroupId)?.setToolEnabled('PlanarFreehandContourSegmentationTool');
      }
    });
  },
};

// A contour that was edited has its holes as contours of their own, which OHIF shows and does not store: they are among
// the contours while it stores.
const holesOf = (segmentationId) => {
  const { annotation, segmentation } = window.cornerstoneTools;
  const contours = segmentation.state.getSegmentation(segmentationId)?.representationData.Contour?.annotationUIDsMap ?? new Map();
  return [...contours.values()].flatMap((uids) => [...uids].flatMap((uid) => {
    const holes = annotation.state.getAnnotation(uid)?.childAnnotationUIDs ?? [];
    return holes.filter((hole) => !uids.has(hole)).map((hole) => ({ uids, hole }));
  }));
};

const storedHoles = {
  id: 'glioloop.stored-holes',
  onModeEnter: ({ commandsManager }) => {
    const command = commandsManager.getContext('CORNERSTONE').storeSegmentation;
    if (command.storesHoles) return;
    const commandFn = async (options) => {
      const holes = holesOf(options.segmentationId);
      holes.forEach(({ uids, hole }) => uids.add(hole));
      try {
        return await command.commandFn(options);
      } finally {
        holes.forEach(({ uids, hole }) => uids.delete(hole));
      }
    };
    commandsManager.registerCommand('CORNERSTONE', 'storeSegmentation', { ...command, commandFn, storesHoles: true });
  },
};

window.config = {
  name: 'config/glioloop.js',
  routerBasename: '/ohif',
  extensions: [readOnly, storedHoles],
  modes: [],
  // No guided tour before the images.
  customizationService: [{ 'ohif.tours': { $set: [] } }],
  showStudyList: true,
  maxNumberOfWebWorkers: 3,
  showWarningMessageForCrossOrigin: true,
  showCPUFallbackMessage: false,
  showLoadingIndicator: true,
  strictZSpacingForVolumeViewport: true,
  groupEnabledModesFirst: true,
  investigationalUseDialog: { option: 'never' },
  // The structure set is shown as soon as it is opened, without a question.
  disableConfirmationPrompts: true,
  maxNumRequests: { interaction: 100, thumbnail: 75, prefetch: 25 },
  defaultDataSourceName: 'orthanc',
  dataSources: [
    {
      namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
      sourceName: 'orthanc',
      configuration: {
        friendlyName: 'Orthanc',
        name: 'orthanc',
        qidoRoot: '/dicom-web',
        wadoRoot: '/dicom-web',
        qidoSupportsIncludeField: false,
        imageRendering: 'wadors',
        thumbnailRendering: 'wadors',
        enableStudyLazyLoad: true,
        supportsFuzzyMatching: false,
        supportsWildcard: true,
        dicomUploadEnabled: false,
        // Edited contours are stored here (STOW-RS), by OHIF's menu "Export".
        supportsStow: true,
        omitQuotationForMultipartRequest: true,
        bulkDataURI: { enabled: true },
      },
    },
  ],
};
