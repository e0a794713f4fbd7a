-- The questions of `pose2id query NAME`. A line "-- name: question" begins each one.

-- results: How good is every variant, and how sure is its gain over base?
SELECT variant, mAP, mINP, rank_1, rank_5, id2,
       mAP_delta AS gain, mAP_delta_low AS low, mAP_delta_high AS high
FROM summary
ORDER BY mAP DESC;

-- worst-queries: For which queries does retrieval still fail with everything on?
SELECT q.query_id, i.pid, i.camid, q.ap, q.first_hit_rank, q.n_positives
FROM queries q
JOIN "index" i ON i.image_id = q.query_id
WHERE q.variant = (SELECT best FROM compared) AND q.ap IS NOT NULL
ORDER BY q.ap, q.query_id
LIMIT 20;

-- most-gained: Which queries gained most?
SELECT b.query_id, b.ap AS ap_base, a.ap AS ap_best, a.ap - b.ap AS gain
FROM queries b
JOIN queries a USING (query_id)
WHERE b.variant = 'base' AND a.variant = (SELECT best FROM compared) AND a.ap > b.ap
ORDER BY gain DESC, b.query_id
LIMIT 20;

-- most-lost: Which queries got worse?
SELECT b.query_id, b.ap AS ap_base, a.ap AS ap_best, a.ap - b.ap AS loss
FROM queries b
JOIN queries a USING (query_id)
WHERE b.variant = 'base' AND a.variant = (SELECT best FROM compared) AND a.ap < b.ap
ORDER BY loss, b.query_id
LIMIT 20;

-- hardest-people: Which persons are hardest to find, and does their ID2 explain it?
SELECT pid, mAP, id2, n_queries, n_gallery
FROM identities
WHERE variant = (SELECT best FROM compared) AND mAP IS NOT NULL
ORDER BY mAP, pid
LIMIT 20;

-- confusions: Which two persons are taken for each other at rank 1?
WITH first AS (
    SELECT query_id, arg_min(gallery_id, rank) AS gallery_id, arg_min(is_match, rank) AS is_match
    FROM rankings
    WHERE variant = (SELECT best FROM compared) AND NOT is_junk
    GROUP BY query_id
)
SELECT q.pid AS pid, g.pid AS taken_for, count(*) AS n_queries, min(query_id) AS example
FROM first
JOIN "index" q ON q.image_id = first.query_id
JOIN "index" g ON g.image_id = first.gallery_id
WHERE NOT is_match AND NOT g.distractor
GROUP BY q.pid, g.pid
ORDER BY n_queries DESC, q.pid, g.pid
LIMIT 20;

-- camera-pairs: From which camera to which is the first true match found late?
WITH hit AS (
    SELECT query_id, arg_min(gallery_id, rank) AS gallery_id, min(rank) AS rank
    FROM rankings
    WHERE variant = (SELECT best FROM compared) AND is_match AND NOT is_junk
    GROUP BY query_id
)
SELECT q.camid AS query_camera, g.camid AS gallery_camera, count(*) AS n_queries,
       avg(rank) AS mean_rank, max(rank) AS worst_rank
FROM hit
JOIN "index" q ON q.image_id = hit.query_id
JOIN "index" g ON g.image_id = hit.gallery_id
GROUP BY q.camid, g.camid
ORDER BY mean_rank DESC, query_camera, gallery_camera;

-- rejected-pictures: Why were pictures not accepted, and how many?
SELECT split, reason, count(*) AS n_pictures, min(image_id) AS example
FROM (SELECT split, image_id, unnest(reasons) AS reason FROM quality WHERE NOT accepted)
GROUP BY split, reason
ORDER BY n_pictures DESC, split, reason;

-- worst-poses: In which poses is the person's identity kept least?
SELECT pose_id, avg(identity_similarity) AS identity_similarity,
       avg(pose_difference) AS pose_difference,
       count(*) FILTER (NOT accepted) AS n_rejected, count(*) AS n_pictures
FROM quality
WHERE pose_id >= 0
GROUP BY pose_id
ORDER BY identity_similarity, pose_id;

-- unusable-files: Which files could not be used, and why?
SELECT split, path, reason
FROM rejects
ORDER BY split, path;

-- corrections: What would data/corrections.csv say if every doubt about a label were right?
SELECT image_id, 'relabel' AS action,
       coalesce(arg_max(other_pid, score),
                (SELECT max(pid) FROM "index") + arg_max(pid, score)) AS pid,
       string_agg(kind, ' ' ORDER BY kind) || ': was ' || arg_max(pid, score)
           || ', see ' || arg_max(other_id, score) AS note
FROM label_errors
GROUP BY image_id
ORDER BY max(score) DESC, image_id;
