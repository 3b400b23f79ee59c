-- Forwards the node's results by Orthanc's own means, instead of "Destinations" in section GlioLoop.
--
-- In orthanc.json:   "LuaScripts" : [ "/path/to/deploy/autorouting.lua" ]
-- and a modality "workstation" in DicomModalities. Leave "Destinations" empty, or everything is sent twice.
--
-- Each object is sent by a job of Orthanc's, which does not try again by itself: see docs/routing.md.

local DESTINATION = 'workstation'

-- What the node makes: structure set, segmentation, report, preview picture.
local RESULTS = { RTSTRUCT = true, SEG = true, SR = true, OT = true }

function OnStoredInstance(instanceId, tags, metadata, origin)
   -- The node stores by REST. What came in by C-STORE is a scanner's, or a structure set that the
   -- workstation sends back: sending that out again would go round in circles.
   if origin['RequestOrigin'] ~= 'RestApi' then
      return
   end
   if tags['Manufacturer'] == 'GlioLoop' and RESULTS[tags['Modality']] then
      SendToModality(instanceId, DESTINATION)
   end
end
