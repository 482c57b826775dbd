SELECT description_en,
       ai_query('my-model', CONCAT('Translate to Spanish: ', description_en),
                modelParameters => named_struct('max_tokens', 40)) AS description_es,
       ai_query('my-model', CONCAT('Translate to French: ', description_en),
                modelParameters => named_struct('max_tokens', 40)) AS description_fr
FROM VALUES ('A warm woollen scarf.'), ('A small blue lamp.'), ('A warm woollen scarf.') AS products(description_en);
