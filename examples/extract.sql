SELECT message, answer.result.name AS name, answer.result.topic AS topic, answer.errorMessage AS error
FROM (
  SELECT message,
         ai_query('my-model', CONCAT('Extract the name of the customer and the topic: ', message),
                  returnType => 'STRUCT<name: STRING, topic: STRING>',
                  modelParameters => named_struct('max_tokens', 60),
                  failOnError => false) AS answer
  FROM VALUES ('My name is Ana Ruiz and my card was stolen.'), ('Ben here, where is my parcel?') AS t(message)
);
