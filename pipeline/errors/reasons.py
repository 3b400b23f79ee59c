"""Every reason for which the node refuses, flags or fails: one table, which is why this file is long.

A *refusal* means that the input cannot be done well: the job ends ``refused``, at once and for good.
A *failure* means that something around it broke: the job may be retried.
A *flag* goes with a result that is delivered and should be looked at with care.
"""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a code does to the job."""

    REFUSAL = "refusal"
    FAILURE = "failure"
    FLAG = "flag"


@dataclass(frozen=True)
class Reason:
    """One row of the table.

    Attributes
    ----------
    kind
        Whether the job is refused, fails, or carries a flag.
    message
        For a radiologist: what is wrong with this study.
    hint
        For an engineer: where to look and what to change.
    transient
        Whether it may pass by itself: what met it is tried again before the job fails.
    """

    kind: Kind
    message: str
    hint: str
    transient: bool = False


REASONS: dict[str, Reason] = {
    # identify
    "STUDY_EMPTY": Reason(
        Kind.REFUSAL,
        "The study holds no images.",
        "Only structured objects or nothing arrived; send the MR images and reprocess.",
    ),
    "NO_MR": Reason(
        Kind.REFUSAL,
        "The study holds no MR images.",
        "Only Modality MR is processed; route other modalities elsewhere.",
    ),
    "SEQUENCE_MISSING": Reason(
        Kind.REFUSAL,
        "A required sequence is missing, so the tumour cannot be delineated.",
        "See the reasons per series; name a series for the sequence by REST (`series`) if one was misjudged. "
        "`MayLack` lets the node go on without one, where the network was measured without it.",
    ),
    "SEQUENCE_UNDECIDED": Reason(
        Kind.REFUSAL,
        "Two series look alike, and neither their headers nor their images tell which is which.",
        "Name the series for the sequences by REST (`series`), or give them descriptions that tell.",
    ),
    "PATIENTS_MIXED": Reason(
        Kind.REFUSAL,
        "The images are of several patients.",
        "PatientID, PatientBirthDate or PatientName differ between the series; give one patient's study.",
    ),
    "STUDIES_MIXED": Reason(
        Kind.REFUSAL,
        "The images are of several studies.",
        "The StudyInstanceUIDs in the detail lie in one folder; give the folder of one study.",
    ),
    "STUDY_UNKNOWN": Reason(
        Kind.REFUSAL,
        "There is no such study in the archive.",
        "Give Orthanc's study id or the StudyInstanceUID of a study that is stored here.",
    ),
    "PATIENT_UNKNOWN": Reason(
        Kind.REFUSAL,
        "There is no such patient in the archive.",
        "Give Orthanc's patient id or the PatientID of a patient who has studies here.",
    ),
    "STUDY_AMBIGUOUS": Reason(
        Kind.REFUSAL,
        "Several studies in the archive have this StudyInstanceUID, of different patients.",
        "Give Orthanc's study id instead; the detail lists those of the studies.",
    ),
    "SUPERSEDED": Reason(
        Kind.REFUSAL,
        "More images of the study arrived while it was at work; it is done anew with all of them.",
        "Nothing to do: the job that follows has them. A study is begun once it was quiet for `ReadyAfterSeconds`.",
    ),
    "REQUEST_INVALID": Reason(
        Kind.REFUSAL,
        "The request cannot be understood.",
        "The body is one JSON object with the documented keys; see docs/rest.md.",
    ),
    "QUERY_TOO_WIDE": Reason(
        Kind.REFUSAL,
        "The query finds more studies than it may; none was fetched.",
        "Narrow it, or raise `most`.",
    ),
    "FETCH_UNKNOWN": Reason(
        Kind.REFUSAL,
        "Nothing of that id was fetched.",
        "`GET /glioloop/fetch` lists what was asked of other archives.",
    ),
    "ROLE_MISSING": Reason(
        Kind.REFUSAL,
        "Your role does not allow this.",
        "Roles of users and groups are in `Roles`; the refusal is in the audit trail.",
    ),
    "REQUEST_FOREIGN": Reason(
        Kind.REFUSAL,
        "A page of another server tried to command this node; nothing was done.",
        "Only pages of this Orthanc may POST; behind a proxy, keep the Host header.",
    ),
    "PAGE_UNKNOWN": Reason(
        Kind.REFUSAL,
        "There is no such page.",
        "The dashboard is at /glioloop/app/.",
    ),
    "JOB_UNKNOWN": Reason(
        Kind.REFUSAL,
        "There is no such job.",
        "`GET /glioloop/jobs` lists them.",
    ),
    "SURFACES_LACKING": Reason(
        Kind.REFUSAL,
        "There are no surfaces of these contours to show in 3D.",
        "They were made before the node drew surfaces, or their files are no longer kept; `Reprocess…` draws them.",
    ),
    "JOB_STATE": Reason(
        Kind.REFUSAL,
        "The job's state does not allow this.",
        "Only a queued or running job is cancelled; only an ended one is tried again.",
    ),
    "RESULT_LACKING": Reason(
        Kind.REFUSAL,
        "There are no contours to accept, send back or edit.",
        "Only the structure set of a job that is done can be; see its `result.stored`.",
    ),
    "RESULT_SUPERSEDED": Reason(
        Kind.REFUSAL,
        "These contours are not the latest ones of the study.",
        "A later job or a correction has taken their place; the detail says which. Look at that one.",
    ),
    "REVIEW_ENDED": Reason(
        Kind.REFUSAL,
        "These contours are accepted already: they can be neither sent back nor edited here.",
        "They may have been sent on as approved. Correct them at the workstation, or reprocess the study.",
    ),
    "READERS_TOO_FEW": Reason(
        Kind.REFUSAL,
        "A consensus needs the contours of two readers at least.",
        "Who sends two corrections counts once, by ReviewerName, OperatorsName or ContentCreatorName; where none is "
        "named, by station and device. `review.readers` of the study lists who counts.",
    ),
    "READERS_ON_OTHER_IMAGES": Reason(
        Kind.REFUSAL,
        "The readers did not draw on the same slices: there is no consensus of them.",
        "The study was processed on another reference series in between; have the correction that the detail names "
        "drawn again, or delete it.",
    ),
    "NODE_STARTING": Reason(
        Kind.FAILURE,
        "The node is not ready yet.",
        "The worker has not prepared the queue; see /glioloop/health and the worker's log.",
    ),
    "SERIES_UNKNOWN": Reason(
        Kind.REFUSAL,
        "A series named for a sequence is not in this study.",
        "`series` takes Orthanc ids or SeriesInstanceUIDs of this study.",
    ),
    "NOT_HEAD": Reason(
        Kind.REFUSAL,
        "The images do not show a head.",
        "BodyPartExamined and descriptions name another body part; override by naming the series by REST.",
    ),
    # load
    "FILE_UNREADABLE": Reason(
        Kind.REFUSAL,
        "An image of the study is damaged and cannot be read.",
        "The instance is truncated or its pixel data do not decode; send it again from the scanner or archive.",
    ),
    "GEOMETRY_INCOMPLETE": Reason(
        Kind.REFUSAL,
        "Slices of a series are missing.",
        "The distances between slices are not uniform, or over 12 mm; wait for the whole series or send it again.",
    ),
    "GEOMETRY_MIXED": Reason(
        Kind.REFUSAL,
        "A series mixes slices of several orientations or sizes and is not one volume.",
        "Localizers or several stacks in one series; name another series by REST.",
    ),
    "PART_MISSING": Reason(
        Kind.REFUSAL,
        "A series no longer holds the images that were identified in it.",
        "It held several images at each position when it was identified, and has changed since; reprocess the study.",
    ),
    "SERIES_SPLIT": Reason(
        Kind.FLAG,
        "A series holds several images at each position; one kind of them was taken: check that it is the right one.",
        "Echoes, acquisitions, images of a Dixon method: the detail names the part taken, why, and those left.",
    ),
    "FOREIGN_IMAGES_LEFT_OUT": Reason(
        Kind.FLAG,
        "A series holds objects or images that do not belong to its stack; they were left out.",
        "The detail counts them; the stack that remains is whole and regular.",
    ),
    "FILES_DAMAGED": Reason(
        Kind.FLAG,
        "Files of the study are cut off and were left out; check that no slice lacks at an end of a series.",
        "The series that were taken are whole and regular without them; send the study again.",
    ),
    "GEOMETRY_TILTED": Reason(
        Kind.REFUSAL,
        "The slices of a series are shifted against each other (tilted stack).",
        "The slice positions do not lie along the slice normal; such a stack is not a regular volume.",
    ),
    "GEOMETRY_MISSING": Reason(
        Kind.REFUSAL,
        "A series does not say where its images lie in the patient.",
        "ImagePositionPatient, ImageOrientationPatient or PixelSpacing is absent or invalid.",
    ),
    "NOT_A_VOLUME": Reason(
        Kind.REFUSAL,
        "A series has too few slices to be a volume.",
        "At least 5 slices at different positions are needed.",
    ),
    "PIXELS_INVALID": Reason(
        Kind.REFUSAL,
        "A series holds no usable grey-level image.",
        "Colour, empty or constant pixel data, values of more bits than declared, no head, as in a subtraction, or "
        "slices that are no images of their own: projections (MIP) over slabs that overlap, one picture many times.",
    ),
    "INPUT_TOO_LARGE": Reason(
        Kind.REFUSAL,
        "A series is larger than the node accepts.",
        "See the input limits in the configuration.",
    ),
    "HEADER_ILLEGAL": Reason(
        Kind.REFUSAL,
        "The images carry identifiers that DICOM forbids, so that no contours could refer to them.",
        "The detail names the attribute: a UID of 1 to 64 digits and dots; have the sender write legal ones.",
    ),
    # align
    "ALIGNMENT_FAILED": Reason(
        Kind.REFUSAL,
        "The sequences could not be aligned with each other.",
        "The registration check failed (metric, overlap or motion beyond limits); look for wrong patient or body part.",
    ),
    # infer and restore
    "MODEL_UNKNOWN": Reason(
        Kind.REFUSAL,
        "The requested network is not installed.",
        "`glioloop models list` shows the installed ones.",
    ),
    "MODEL_INVALID": Reason(
        Kind.REFUSAL,
        "The network cannot be installed.",
        "The card (model.json) must hold every key of a card and name files that are there; see docs/models.md.",
    ),
    "IMPORT_UNREADABLE": Reason(
        Kind.REFUSAL,
        "The network of another tool cannot be read; nothing was installed.",
        "The folder must be what the tool itself wrote, complete; see the detail and docs/models.md.",
    ),
    "IMPORT_UNSUPPORTED": Reason(
        Kind.REFUSAL,
        "The network needs what this node does not do; nothing was installed.",
        "The detail names it, docs/models.md what is known. Without it the contours would not be the tool's.",
    ),
    "IMPORT_CHANNEL_UNKNOWN": Reason(
        Kind.REFUSAL,
        "It is not sure which MR sequence the network takes where; nothing was installed.",
        "Say it with --channel NAME=t1, t1c, t2 or flair; NAME is the channel's name or number.",
    ),
    "IMPORT_REGION_UNKNOWN": Reason(
        Kind.REFUSAL,
        "It is not sure which output of the network is which part of the tumour; nothing was installed.",
        "Say it with --label NAME=WT, TC, ET, cavity or none: for labels the innermost region that holds them. WT, TC "
        "and ET must all be there.",
    ),
    "IMPORT_UNTRUSTED": Reason(
        Kind.REFUSAL,
        "The weights' file may run code when it is read; nothing was installed.",
        "Only weights and numbers are read. In the tool's own environment, save the file anew with nothing else in it.",
    ),
    "IMPORT_UNAVAILABLE": Reason(
        Kind.REFUSAL,
        "This installation cannot read networks of other tools.",
        "`./glioloop setup train import` installs what it needs: PyTorch, dynamic-network-architectures, MONAI.",
    ),
    "MODEL_DAMAGED": Reason(
        Kind.FAILURE,
        "The network's file is damaged; no contours were made.",
        "The file's sha256 differs from its card; restore models/ and retry.",
    ),
    "BRAIN_NOT_FOUND": Reason(
        Kind.REFUSAL,
        "No plausible brain was found in the images.",
        "The brain volume found lies outside 600-2200 ml; check that the series show a whole head.",
    ),
    "COVERAGE_INCOMPLETE": Reason(
        Kind.REFUSAL,
        "A sequence does not show the whole brain or tumour, so the tumour cannot be delineated.",
        "Over 10 % of the brain or of the tumour found lies outside the series or in its padding; see the detail. "
        "Send the whole series, or name another by REST (`series`).",
    ),
    # flags
    "SEQUENCE_INCOMPLETE_COVERAGE": Reason(
        Kind.FLAG,
        "A sequence does not show the whole brain or tumour: check the contours where it ends.",
        "Over 1 % of the brain or of the tumour found lies outside the series or in its padding; over 10 % it is "
        "left out where `MayLack` allows it. The detail names sequence and shares.",
    ),
    "COARSE_SLICES": Reason(
        Kind.FLAG,
        "A sequence has very thick slices, or wide gaps between them: check the contours from slice to slice.",
        "Slices over 7.8 mm, gaps of over half the slices' thickness (every second slice may lack: send the series "
        "again), or averages over thick slabs; over 12 mm it is refused. The detail names the sequence and distances.",
    ),
    "SLICES_ODD": Reason(
        Kind.FLAG,
        "Slices of a sequence do not fit between their neighbours: check the contours there.",
        "The detail names them (or the slices next to them), counted along the normal: put in another's place, or much "
        "darker or brighter than the slices around. Send the series again.",
    ),
    "SLICES_REPEATED": Reason(
        Kind.FLAG,
        "Slices of a sequence show the picture of the slice before: check the contours there.",
        "The detail names them, counted along the normal; their pixels are equal. Send the series again.",
    ),
    "SUSPICIOUS_SIGNAL": Reason(
        Kind.FLAG,
        "Bright signal on one side of the brain may be a tumour that was not delineated; look there.",
        "A look apart from the network, where it found nothing or left a part out: hyperintense on FLAIR (or T2) and "
        "unlike the other side. The detail names side, centre (LPS, mm) and volume.",
    ),
    "SEQUENCE_LACKING": Reason(
        Kind.FLAG,
        "A sequence is missing: the contours were drawn without it and are less reliable; check every one.",
        "`MayLack` of the configuration allows it; the study is done anew when the sequence arrives.",
    ),
    "HEADER_REPAIRED": Reason(
        Kind.FLAG,
        "Entries about patient or study are not written as DICOM demands; the contours carry them corrected or empty.",
        "The detail names the attributes; the images keep what they have. Have the scanner or the sender set right.",
    ),
    "DERIVED_IMAGES": Reason(
        Kind.FLAG,
        "Sequences were taken from derived images (defaced, anonymised or corrected); the originals are not there.",
        "ImageType says DERIVED, and the study has no original series of these sequences.",
    ),
    "SECOND_CHOICE": Reason(
        Kind.FLAG,
        "The preferred series of a sequence is damaged; another of the study was taken in its place.",
        "The detail names both and what is wrong; send the preferred series again to have it taken.",
    ),
    "IMAGES_OVER_HEADER": Reason(
        Kind.FLAG,
        "The images say the opposite of the only header that tells two series apart; the images were followed.",
        "Look at both series; set right what scanner or protocol writes into their descriptions.",
    ),
    "OTHER_SESSION_LEFT_OUT": Reason(
        Kind.FLAG,
        "The study also holds series of another examination; they were left out.",
        "Acquisition dates and times lie more than four hours apart; name series by REST (`series`) to take others.",
    ),
    "TUMOUR_AT_EDGE": Reason(
        Kind.FLAG,
        "The tumour touches the edge of the field of view; parts of it may be missing.",
        "Check the coverage of the reference series.",
    ),
    "NO_TUMOUR_FOUND": Reason(
        Kind.FLAG,
        "No tumour was found by the network. This does not exclude one.",
        "An empty result is a result; see the card for the network's sensitivity.",
    ),
    "LARGE_MOTION": Reason(
        Kind.FLAG,
        "The patient moved much between sequences; check the contours on each.",
        "Rotation or displacement beyond the flag limits; the check of the alignment passed.",
    ),
    "DOUBTFUL_PART_LEFT_OUT": Reason(
        Kind.FLAG,
        "A part that might be tumour was left out, because the network is nowhere certain of it, or because it lies in "
        "the brain's fluid; look there.",
        "Its probabilities stay below `least_certainty` of the model card, or its surroundings and its mirrored place "
        "are fluid (`in_fluid`); the detail names volume and slice.",
    ),
    "AFTER_SURGERY": Reason(
        Kind.FLAG,
        "A resection cavity was found: the study is after surgery. Cavities were learnt from rendered studies only; "
        "check contours near it.",
        "The output `cavity` of the model card; the detail is the cavity's volume, of which nothing counts as tumour.",
    ),
    "PROVIDER_FALLBACK": Reason(
        Kind.FLAG,
        "The network did not run on what was meant, such as a graphics card; the contours are the same.",
        "The detail says why; see docs/deployment.md: one of the extras `cpu` and `gpu`, and the setting `Provider`.",
    ),
    "MODEL_UNCERTAIN": Reason(
        Kind.FLAG,
        "The network is uncertain about this tumour; check every contour.",
        "The uncertainty figure is above the limit in the model card.",
    ),
    "FRAME_OF_REFERENCE_DIFFERS": Reason(
        Kind.FLAG,
        "The sequences do not share a frame of reference; contours hold on the reference series only.",
        "They were aligned by content; other series of the study may show the contours displaced.",
    ),
    # write and read DICOM objects
    "OBJECT_INVALID": Reason(
        Kind.FAILURE,
        "The result could not be written as a valid DICOM object; nothing was stored.",
        "A check of the object's constructor failed: see the detail; images or contours are inconsistent.",
    ),
    "FRAME_OF_REFERENCE_MISSING": Reason(
        Kind.REFUSAL,
        "The reference series does not name its frame of reference, so contours on it cannot be shown.",
        "FrameOfReferenceUID (0020,0052) is absent or empty; send the series with it.",
    ),
    "STRUCTURE_SET_UNREADABLE": Reason(
        Kind.REFUSAL,
        "The structure set is damaged and cannot be read.",
        "It is no RT Structure Set, or an attribute that contours cannot be read without is invalid.",
    ),
    "STRUCTURE_SET_FOREIGN": Reason(
        Kind.REFUSAL,
        "The structure set was drawn on other images.",
        "Its frame of reference, and the images its contours name, are not those of the reference series.",
    ),
    # other archives
    "MODALITY_UNKNOWN": Reason(
        Kind.REFUSAL,
        "An archive that is to be asked is not configured.",
        "Its name is none of Orthanc's DicomModalities.",
    ),
    "QUERY_FAILED": Reason(
        Kind.FAILURE,
        "Another archive did not answer when it was asked for studies.",
        "The detail names it. Try a C-ECHO from Orthanc; it must allow C-FIND to Orthanc's AE title.",
        transient=True,
    ),
    "RETRIEVE_FAILED": Reason(
        Kind.FAILURE,
        "Another archive did not hand out a study.",
        "The detail has what Orthanc was told. For C-MOVE the archive must know Orthanc's AE title, host and port.",
        transient=True,
    ),
    # the course of a patient
    "PRIOR_BY_OTHER_MODEL": Reason(
        Kind.FLAG,
        "Earlier contours were drawn by another network: a change may be the network's and not the tumour's.",
        "The detail names it; reprocess the earlier study with the present network, or correct its contours.",
    ),
    "PRIOR_NOT_ALIGNED": Reason(
        Kind.FLAG,
        "The study before could not be brought onto this one: volumes are compared, single lesions are not.",
        "The check of docs/alignment.md refused T1c against T1c; every lesion counts as met for the first time.",
    ),
    "BRAIN_SHIFTED": Reason(
        Kind.FLAG,
        "The brain has shifted since the study before: lesions may be matched by distance only.",
        "Parts of the brain away from the tumour fit the study before best 4 mm or more beside their place; "
        "the alignment is rigid.",
    ),
    "LESION_UNSURE": Reason(
        Kind.FLAG,
        "It is not sure which lesion of the study before this one is.",
        "The detail names it: it shares less than three tenths of itself with that lesion or is only near, is new "
        "within 5 mm of where one has vanished, alone is left of several that had merged, or would be another without "
        "the shift of the brain.",
    ),
    "PRIOR_LEFT_OUT": Reason(
        Kind.FLAG,
        "An earlier study of this patient number is not compared with.",
        "The detail names the study and why: birth date or sex differ, no date, or its contours or images are gone.",
    ),
    "PRIOR_NOT_FETCHED": Reason(
        Kind.FLAG,
        "Another archive could not be asked for earlier studies; the comparison may lack some.",
        "The detail names the archive of `Priors` and what it failed at; it is asked again as often as a destination.",
    ),
    # corrections and learning from them
    "FEEDBACK_UNKNOWN": Reason(
        Kind.REFUSAL,
        "There is no such correction in the store.",
        "`glioloop feedback list` and `GET /glioloop/feedback` show what is kept.",
    ),
    "FEEDBACK_DAMAGED": Reason(
        Kind.FAILURE,
        "A stored correction is damaged and cannot be used.",
        "A file of the case does not match its digest; delete the case, and send the correction again.",
    ),
    "CORRECTION_WITHDRAWN": Reason(
        Kind.REFUSAL,
        "A correction was deleted while a network learnt from it; that network is not kept.",
        "Ask for a fine-tuning again: it learns from the corrections that are left.",
    ),
    "NOTHING_TO_LEARN": Reason(
        Kind.REFUSAL,
        "There are no corrections to learn from.",
        "Corrections count when they are trusted (approved, or by a known reviewer), unless LearnFrom says all.",
    ),
    "TRAINING_UNAVAILABLE": Reason(
        Kind.REFUSAL,
        "This installation cannot train networks.",
        "Training needs the extra `train` (PyTorch, ONNX): see docs/feedback.md.",
    ),
    "MODEL_NOT_TRAINABLE": Reason(
        Kind.REFUSAL,
        "This network cannot learn from corrections here.",
        "Only networks of this product's own architecture can be fine-tuned; train an imported one where it was made.",
    ),
    "FINETUNE_FAILED": Reason(
        Kind.FAILURE,
        "Learning from the corrections failed; the network in use is unchanged.",
        "The detail says where; the log lies in the run's folder below finetune/ in the state folder.",
    ),
    "LABELS_AMBIGUOUS": Reason(
        Kind.REFUSAL,
        "The values of a segmentation can mean different regions, and its images do not tell which.",
        "A 4 is enhancing tumour until 2021 and the cavity from 2024; name the scheme: `evaluate --labels`.",
    ),
    # store, forward, the node itself
    "EXPORT_FAILED": Reason(
        Kind.FAILURE,
        "The trained network could not be exported; nothing was installed.",
        "onnxruntime does not reproduce the network; see the difference in the detail.",
    ),
    "CASE_LOST": Reason(
        Kind.FAILURE,
        "Working files of the job are gone; no contours were made.",
        "The state folder was emptied while the job was at work; reprocess the study with `force`.",
    ),
    "STORE_FAILED": Reason(
        Kind.FAILURE,
        "The result could not be stored in the archive.",
        "Orthanc refused what was uploaded; the detail and its log say why, then retry the job.",
    ),
    "FORWARD_FAILED": Reason(
        Kind.FAILURE,
        "The result is stored but could not be sent to the workstation.",
        "The destination did not accept it after every retry; check the modality and retry the job.",
    ),
    "COMMITMENT_MISSING": Reason(
        Kind.FAILURE,
        "The result was sent, but the destination has not confirmed that it keeps it.",
        "See whether the destination answers storage commitment to this node's AE title, and that it is let in here; "
        "retry the job to ask again, or take `Commitment` from the destination.",
    ),
    "NOTIFY_FAILED": Reason(
        Kind.FAILURE,
        "Somebody could not be told.",
        "The webhook or mail server did not take it; it is tried again. See `GET /glioloop/notifications`.",
    ),
    "CHANNEL_UNKNOWN": Reason(
        Kind.REFUSAL,
        "Nobody of that name is told anything.",
        "Channels are configured in `Notify`.",
    ),
    "DESTINATION_UNKNOWN": Reason(
        Kind.REFUSAL,
        "A destination named for the result is not configured.",
        "Destinations are names in `Destinations`, or in Orthanc's DicomModalities; those in turn name a modality, a "
        "DICOMweb server, an Orthanc peer, or a folder.",
    ),
    "STUDY_GONE": Reason(
        Kind.REFUSAL,
        "The study was removed or changed while it was in work.",
        "If it changed, a new job has been queued for its new content.",
    ),
    "ORTHANC_UNREACHABLE": Reason(
        Kind.FAILURE,
        "The archive did not answer.",
        "Orthanc's HTTP server is down, too slow, or answers with an error; see its log, then retry the job.",
        transient=True,
    ),
    "ORTHANC_DENIED": Reason(
        Kind.FAILURE,
        "The archive does not let the node in.",
        "Orthanc (or a proxy before it) refuses the user, password or token: OrthancUser and OrthancPassword of a "
        "worker started elsewhere; then retry the job.",
        transient=True,
    ),
    "ORTHANC_REFUSED": Reason(
        Kind.FAILURE,
        "The archive refused a request of the node.",
        "The detail names request and HTTP status; look for a proxy between them, or an Orthanc that lacks the route.",
    ),
    "ARCHIVE_FULL": Reason(
        Kind.FAILURE,
        "The archive has no room for the result.",
        "Orthanc or a proxy before it took no more (HTTP 413 or 507): raise MaximumStorageSize, the disk or the "
        "proxy's limit, then retry the job.",
    ),
    "IMAGE_WITHHELD": Reason(
        Kind.FAILURE,
        "The archive lists images that it does not hand out, so the study was not judged.",
        "They were being replaced at every try, or their files are missing from Orthanc's storage; retry the job.",
        transient=True,
    ),
    "DATABASE_AWAY": Reason(
        Kind.FAILURE,
        "The node's database broke off.",
        "It was restarted, or the network to it failed, for longer than is waited; see its log, then retry the job.",
        transient=True,
    ),
    "BACKUP_UNUSABLE": Reason(
        Kind.FAILURE,
        "The backup cannot be brought back.",
        "The detail says whether the file is damaged or the state folder is not empty; nothing was changed.",
    ),
    "CONFIGURATION_INVALID": Reason(
        Kind.FAILURE,
        "The node is not configured correctly.",
        "See docs/configuration.md for the keys of section GlioLoop.",
    ),
    "NODE_NOT_STARTED": Reason(
        Kind.FAILURE,
        "The node did not start.",
        "The detail names what is missing or what Orthanc's log says; `./glioloop setup` installs what is missing.",
    ),
    "NODE_UNWELL": Reason(
        Kind.FAILURE,
        "The node does not delineate its own sample study as expected: do not rely on new contours until it is well.",
        "See the detail and the worker's log; after a change that was meant, `glioloop check --record`.",
    ),
    "VIEWER_UNAVAILABLE": Reason(
        Kind.FAILURE,
        "The viewer could not be set up; everything else works without it.",
        "It is fetched once by npm; install npm and let this machine reach its registry.",
    ),
    "STAGE_TIMEOUT": Reason(
        Kind.FAILURE,
        "The work on this study took far too long and was ended; no contours were made.",
        "A stage ran over StageDeadlineSeconds twice; see the worker's log, raise it for a slow machine, then retry.",
    ),
    "OUT_OF_MEMORY": Reason(
        Kind.FAILURE,
        "The machine has too little memory for this study; no contours were made.",
        "Raise WorkerMemoryGigabytes or give the machine more; lower Concurrency; then retry.",
    ),
    "DISK_FULL": Reason(
        Kind.FAILURE,
        "The disk with the node's working files is full; no contours were made.",
        "Make room where the state folder lies, then retry the job.",
    ),
    "WORKER_DIED": Reason(
        Kind.FAILURE,
        "The program died on this study time and again; no contours were made.",
        "Look for the kernel's out-of-memory killer and at the end of worker.log; then retry the job.",
    ),
    "TASK_DIED": Reason(
        Kind.FAILURE,
        "The program died at this time and again and has given up; what it was to do is not done.",
        "Look for the kernel's out-of-memory killer and at the end of worker.log; then ask for it again.",
    ),
    "QUEUE_DAMAGED": Reason(
        Kind.FAILURE,
        "The node's list of jobs is damaged; images and results in the archive are not touched.",
        "Stop Orthanc, put backup/queue.sqlite in the place of queue.sqlite*, start; then reprocess (docs/faults.md).",
    ),
    "COMMAND_FAILED": Reason(
        Kind.FAILURE,
        "An unexpected error ended the command.",
        "GLIOLOOP_TRACEBACK=1 before the command shows where; please report it.",
    ),
    "INTERNAL": Reason(
        Kind.FAILURE,
        "An unexpected error ended the job; no contours were made.",
        "See the worker's log for the traceback and report it.",
    ),
}


def reasons_table(kind: Kind) -> str:
    """The codes of one kind as the Markdown table of docs/quality-gates.md."""
    rows = [f"| `{code}` | {one.message} | {one.hint} |" for code, one in REASONS.items() if one.kind is kind]
    return "\n".join(["| code | for a radiologist | for an engineer |", "| --- | --- | --- |", *rows])
